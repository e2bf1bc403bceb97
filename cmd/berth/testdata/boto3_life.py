"""Lives the whole life of a game with boto3, against the service at the endpoint that is the argument.

Leaves the connection of one player, "unlucky", to the network, which may lose the first reply.
"""

import datetime
import json
import sys
import urllib.request

import boto3
from botocore.config import Config

endpoint = sys.argv[1]
gamelift = boto3.client(
    "gamelift", endpoint_url=endpoint, region_name="us-east-1",
    aws_access_key_id="any", aws_secret_access_key="any",
    config=Config(parameter_validation=True, proxies={}),
)


def refuses(exception, says, call, **parameters):
    """The call must raise the exception, by boto3's own name for it, with a message and a request id."""
    try:
        answer = call(**parameters)
    except exception as error:
        assert error.response["Error"]["Code"] == exception.__name__, error.response
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, error.response
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        assert says in error.response["Error"]["Message"], error.response
        assert error.response["Message"] == error.response["Error"]["Message"], error.response
        return
    raise AssertionError(f"{exception.__name__} was not raised, but answered {answer}")


def as_game_server(operation, game, player):
    """What a game server does has no method in boto3."""
    request = urllib.request.Request(
        endpoint, method="POST", data=json.dumps({"GameSessionId": game, "PlayerSessionId": player}).encode(),
        headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "GameLift." + operation},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        assert json.load(answer) == {}


raises = gamelift.exceptions

# An operator makes a place for games.
location = gamelift.create_location(LocationName="custom-cellar")["Location"]
assert location["LocationArn"] == "arn:aws:gamelift:us-east-1::location/custom-cellar", location
refuses(raises.ConflictException, "is there already", gamelift.create_location, LocationName="custom-cellar")

created = gamelift.create_fleet(Name="fleet", ComputeType="ANYWHERE", Locations=[{"Location": "custom-cellar"}])
fleet = created["FleetAttributes"]
assert fleet["Status"] == "ACTIVE" and created["LocationStates"][0]["Location"] == "custom-cellar", created
assert isinstance(fleet["CreationTime"], datetime.datetime), fleet
fleet_id = fleet["FleetId"]

new_game = dict(
    FleetId=fleet["FleetArn"], MaximumPlayerSessionCount=3, Name="duel", IdempotencyToken="match-7",
    GameProperties=[{"Key": "map", "Value": "cliffs"}],
)
refuses(raises.FleetCapacityExceededException, "RegisterCompute", gamelift.create_game_session, **new_game)

host = dict(FleetId=fleet_id, ComputeName="box", Location="custom-cellar")
compute = gamelift.register_compute(IpAddress="192.0.2.7", **host)["Compute"]
assert compute["ComputeStatus"] == "ACTIVE" and compute["IpAddress"] == "192.0.2.7", compute
refuses(raises.ConflictException, "another address", gamelift.register_compute, IpAddress="192.0.2.8", **host)

# A matchmaker makes a game.
game = gamelift.create_game_session(**new_game)["GameSession"]
assert game["Status"] == "ACTIVE" and game["IpAddress"] == "192.0.2.7", game
assert game["GameProperties"] == [{"Key": "map", "Value": "cliffs"}], game
game_id = game["GameSessionId"]
assert gamelift.create_game_session(**new_game)["GameSession"]["GameSessionId"] == game_id
refuses(raises.IdempotentParameterMismatchException, "other parameters", gamelift.create_game_session,
        **{**new_game, "MaximumPlayerSessionCount": 4})


def taken():
    sessions = gamelift.describe_game_sessions(FleetId=fleet_id)["GameSessions"]
    assert [session["GameSessionId"] for session in sessions] == [game_id], sessions
    return sessions[0]["CurrentPlayerSessionCount"]


# Three players fill it.
before = datetime.datetime.now(datetime.timezone.utc)
reserved = gamelift.create_player_session(GameSessionId=game_id, PlayerId="unlucky", PlayerData="level 7")["PlayerSession"]
assert reserved["Status"] == "RESERVED" and reserved["PlayerData"] == "level 7" and "TerminationTime" not in reserved, reserved
assert reserved["Port"] == game["Port"], (reserved, game)
assert abs(reserved["CreationTime"] - before) < datetime.timedelta(minutes=10), (reserved, before)
assert taken() == 1, "a lost reply reserved a second slot"
group = gamelift.create_player_sessions(GameSessionId=game_id, PlayerIds=["bob", "carol"], PlayerDataMap={"carol": "warm"})["PlayerSessions"]
assert [session["PlayerId"] for session in group] == ["bob", "carol"] and group[1]["PlayerData"] == "warm", group
assert taken() == 3
refuses(raises.GameSessionFullException, "3 of its 3 slots are taken", gamelift.create_player_session, GameSessionId=game_id, PlayerId="dave")
refuses(raises.GameSessionFullException, "3 of its 3 slots are taken", gamelift.create_player_sessions, GameSessionId=game_id, PlayerIds=["dave", "erin"])

# One comes and goes.
player_id = reserved["PlayerSessionId"]
as_game_server("AcceptPlayerSession", game_id, player_id)
assert gamelift.describe_player_sessions(PlayerSessionId=player_id)["PlayerSessions"][0]["Status"] == "ACTIVE"
as_game_server("RemovePlayerSession", game_id, player_id)
removed = gamelift.describe_player_sessions(PlayerSessionId=player_id)["PlayerSessions"][0]
assert removed["Status"] == "COMPLETED" and removed["TerminationTime"] >= removed["CreationTime"] == reserved["CreationTime"], removed
assert taken() == 2

# The door is shut and opened.
gamelift.update_game_session(GameSessionId=game_id, PlayerSessionCreationPolicy="DENY_ALL")
refuses(raises.InvalidGameSessionStatusException, "DENY_ALL", gamelift.create_player_session, GameSessionId=game_id, PlayerId="dave")
updated = gamelift.update_game_session(GameSessionId=game_id, PlayerSessionCreationPolicy="ACCEPT_ALL", Name="finale")["GameSession"]
assert updated["Name"] == "finale" and updated["PlayerSessionCreationPolicy"] == "ACCEPT_ALL", updated
gamelift.create_player_session(GameSessionId=game_id, PlayerId="dave")

# All are listed, page by page.
pages = list(gamelift.get_paginator("describe_player_sessions").paginate(GameSessionId=game_id, PaginationConfig={"PageSize": 1}))
players = [(session["PlayerId"], session["Status"]) for page in pages for session in page["PlayerSessions"]]
assert sorted(players) == [("bob", "RESERVED"), ("carol", "RESERVED"), ("dave", "RESERVED"), ("unlucky", "COMPLETED")], players
assert len(pages) == 4, pages
holders = gamelift.describe_player_sessions(GameSessionId=game_id, PlayerSessionStatusFilter="RESERVED")["PlayerSessions"]
assert len(holders) == 3, holders
assert gamelift.describe_player_sessions(PlayerId="nobody")["PlayerSessions"] == []

# What is not there, and what makes no sense.
refuses(raises.NotFoundException, "there is no game session", gamelift.create_player_session, GameSessionId="nowhere", PlayerId="alice")
refuses(raises.InvalidRequestException, "PlayerId has 1025 characters; the maximum is 1024", gamelift.create_player_session,
        GameSessionId=game_id, PlayerId="a" * 1025)
refuses(raises.InvalidRequestException, "does not match the pattern", gamelift.create_player_session, GameSessionId="no_where", PlayerId="alice")
