"""Runs the control plane with boto3, against the service at the endpoint that is the argument."""

import datetime
import json
import sys
import time
import urllib.request

import boto3
from botocore.config import Config

endpoint = sys.argv[1]
gamelift = boto3.client(
    "gamelift", endpoint_url=endpoint, region_name="us-east-1",
    aws_access_key_id="any", aws_secret_access_key="any",
    config=Config(parameter_validation=True, proxies={}),
)
raises = gamelift.exceptions


def refuses(exception, says, call, **parameters):
    """The call must raise the exception, by boto3's own name for it, with a message and a request id."""
    try:
        answer = call(**parameters)
    except exception as error:
        assert error.response["Error"]["Code"] == exception.__name__, error.response
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        assert says in error.response["Error"]["Message"], error.response
        return
    raise AssertionError(f"{exception.__name__} was not raised, but answered {answer}")


def plain(operation, **parameters):
    """Calls an operation that this boto3 may not have."""
    request = urllib.request.Request(
        endpoint, method="POST", data=json.dumps(parameters).encode(),
        headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "GameLift." + operation},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def listed(operation, member, **parameters):
    """Reads all pages, of one thing each."""
    pages = gamelift.get_paginator(operation).paginate(PaginationConfig={"PageSize": 1}, **parameters)
    return [thing for page in pages for thing in page.get(member, [])]


def eventually(says, condition):
    deadline = time.monotonic() + 20
    while not (result := condition()):
        assert time.monotonic() < deadline, says
    return result


# Locations, fleets, computes.
for name in "custom-cellar", "custom-attic":
    gamelift.create_location(LocationName=name, Tags=[{"Key": "floor", "Value": "low"}])
assert sorted(place["LocationName"] for place in listed("list_locations", "Locations")) == ["custom-attic", "custom-cellar"]
fleet = gamelift.create_fleet(Name="castle", ComputeType="ANYWHERE", Locations=[{"Location": "custom-cellar"}],
                              Tags=[{"Key": "team", "Value": "red"}])["FleetAttributes"]
spare = gamelift.create_fleet(Name="ruin", ComputeType="ANYWHERE", Locations=[{"Location": "custom-attic"}])["FleetAttributes"]
fleet_id = fleet["FleetId"]
assert sorted(listed("list_fleets", "FleetIds")) == sorted([fleet_id, spare["FleetId"]])
assert gamelift.update_fleet_attributes(FleetId=fleet_id, Description="old")["FleetId"] == fleet_id
attributes = listed("describe_fleet_attributes", "FleetAttributes")
assert sorted(one.get("Description", "") for one in attributes) == ["", "old"], attributes
gamelift.create_fleet_locations(FleetId=fleet_id, Locations=[{"Location": "custom-attic"}])
places = gamelift.describe_fleet_location_attributes(FleetId=fleet_id)["LocationAttributes"]
assert len(places) == 2 and places[0]["LocationState"]["Status"] == "ACTIVE", places
gamelift.delete_fleet_locations(FleetId=fleet_id, Locations=["custom-attic"])
refuses(raises.InvalidRequestException, "is a location of 1 fleets", gamelift.delete_location, LocationName="custom-cellar")
for name in "box", "chest":
    gamelift.register_compute(FleetId=fleet_id, ComputeName=name, Location="custom-cellar", IpAddress="192.0.2.7")
assert sorted(compute["ComputeName"] for compute in listed("list_compute", "ComputeList", FleetId=fleet_id)) == ["box", "chest"]
token = gamelift.get_compute_auth_token(FleetId=fleet_id, ComputeName="box")
assert token["AuthToken"] and token["ExpirationTimestamp"] > datetime.datetime.now(datetime.timezone.utc), token
gamelift.deregister_compute(FleetId=fleet_id, ComputeName="chest")
refuses(raises.NotFoundException, "has no compute chest", gamelift.describe_compute, FleetId=fleet_id, ComputeName="chest")
assert gamelift.describe_compute(FleetId=fleet_id, ComputeName="box")["Compute"]["ComputeStatus"] == "ACTIVE"

# Aliases.
front = gamelift.create_alias(Name="front", RoutingStrategy={"Type": "SIMPLE", "FleetId": fleet_id})["Alias"]
shut = gamelift.create_alias(Name="back", RoutingStrategy={"Type": "TERMINAL", "Message": "closed for the winter"})["Alias"]
assert sorted(alias["Name"] for alias in listed("list_aliases", "Aliases")) == ["back", "front"]
assert gamelift.list_aliases(RoutingStrategyType="TERMINAL")["Aliases"] == [shut]
assert gamelift.describe_alias(AliasId=front["AliasId"])["Alias"] == front
assert gamelift.resolve_alias(AliasId=front["AliasArn"])["FleetId"] == fleet_id
winter = raises.TerminalRoutingStrategyException, "closed for the winter"
refuses(*winter, gamelift.resolve_alias, AliasId=shut["AliasId"])
refuses(*winter, gamelift.create_game_session, AliasId=shut["AliasId"], MaximumPlayerSessionCount=1)
refuses(*winter, gamelift.create_player_session, PlayerId="alice",
        GameSessionId="arn:aws:gamelift:us-east-1::gamesession/" + shut["AliasId"] + "/match")

# Tags.
arn = fleet["FleetArn"]
gamelift.tag_resource(ResourceARN=arn, Tags=[{"Key": "stage", "Value": ""}])
gamelift.untag_resource(ResourceARN=arn, TagKeys=["team"])
assert gamelift.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "stage", "Value": ""}]
refuses(raises.InvalidRequestException, "50 at most", gamelift.tag_resource, ResourceARN=arn,
        Tags=[{"Key": f"key {i}", "Value": ""} for i in range(51)])

# Game sessions, found by what they are like.
games = [
    gamelift.create_game_session(
        AliasId=front["AliasId"], MaximumPlayerSessionCount=2 + i, Name=f"game {i}", GameProperties=[{"Key": "mode", "Value": mode}],
    )["GameSession"]["GameSessionId"]
    for i, mode in enumerate(["duel", "race", "duel"])
]
search = dict(AliasId=front["AliasId"], FilterExpression="gameSessionProperties.mode='duel'", SortExpression="maximumSessions DESC")
eventually("the search finds both", lambda: [
    found["GameSessionId"] for found in listed("search_game_sessions", "GameSessions", **search)] == [games[2], games[0]])
refuses(raises.InvalidRequestException, "FilterExpression", gamelift.search_game_sessions, FleetId=fleet_id, FilterExpression="mode ~ 7")
assert len(listed("describe_game_sessions", "GameSessions", FleetId=fleet_id)) == 3
details = listed("describe_game_session_details", "GameSessionDetails", FleetId=fleet_id)
assert [detail["ProtectionPolicy"] for detail in details] == ["NoProtection"] * 3, details
eventually("the utilization is up to date", lambda: sorted(
    one["MaximumPlayerSessionCount"] for one in listed("describe_fleet_utilization", "FleetUtilization")) == [0, 9])
party = plain("PlacePlayerSessions", AliasId=front["AliasId"], FilterExpression="gameSessionProperties.mode='race'", PlayerIds=["alice", "bob"])
assert [player["GameSessionId"] for player in party["PlayerSessions"]] == [games[1]] * 2, party


def terminate(game):
    if hasattr(gamelift, "terminate_game_session"):
        return gamelift.terminate_game_session(GameSessionId=game, TerminationMode="FORCE_TERMINATE")["GameSession"]
    return plain("TerminateGameSession", GameSessionId=game, TerminationMode="FORCE_TERMINATE")["GameSession"]


assert terminate(games[1])["Status"] == "TERMINATED"
players = listed("describe_player_sessions", "PlayerSessions", GameSessionId=games[1])
assert [player["Status"] for player in players] == ["COMPLETED"] * 2, players

# Queues and what they place.
for name, seconds, destination in ("open", 60, front["AliasArn"]), ("shut", 600, spare["FleetArn"]), ("brief", 1, spare["FleetArn"]):
    gamelift.create_game_session_queue(Name=name, TimeoutInSeconds=seconds, Destinations=[{"DestinationArn": destination}])
gamelift.update_game_session_queue(Name="open", CustomEventData="finale")
queues = {queue["Name"]: queue for queue in listed("describe_game_session_queues", "GameSessionQueues")}
assert sorted(queues) == ["brief", "open", "shut"] and queues["open"]["CustomEventData"] == "finale", queues


def becomes(name, status):
    def read():
        placement = gamelift.describe_game_session_placement(PlacementId=name)["GameSessionPlacement"]
        return placement if placement["Status"] == status else None
    return eventually(f"the placement {name} is {status}", read)


for name in queues:
    gamelift.start_game_session_placement(
        PlacementId=name, GameSessionQueueName=name, MaximumPlayerSessionCount=4, DesiredPlayerSessions=[{"PlayerId": "erin"}],
        PlayerLatencies=[{"PlayerId": "erin", "RegionIdentifier": "custom-cellar", "LatencyInMilliseconds": 20.1}],
    )
placed = becomes("open", "FULFILLED")
assert placed["PlacedPlayerSessions"][0]["PlayerId"] == "erin" and placed["Port"], placed
assert placed["PlayerLatencies"][0]["LatencyInMilliseconds"] == 20.1, placed
refuses(raises.InvalidRequestException, "is FULFILLED", gamelift.stop_game_session_placement, PlacementId="open")
assert gamelift.stop_game_session_placement(PlacementId="shut")["GameSessionPlacement"]["Status"] == "CANCELLED"
becomes("brief", "TIMED_OUT")
refuses(raises.NotFoundException, "there is no game session queue", gamelift.start_game_session_placement,
        PlacementId="lost", GameSessionQueueName="lost", MaximumPlayerSessionCount=1)

# All is taken down.
refuses(raises.InvalidFleetStatusException, "3 game sessions that have not ended", gamelift.delete_fleet, FleetId=fleet_id)
for game in games[0], games[2], placed["GameSessionArn"]:
    terminate(game)
for name in queues:
    gamelift.delete_game_session_queue(Name=name)
moved = gamelift.update_alias(AliasId=front["AliasId"], RoutingStrategy={"Type": "TERMINAL", "Message": "moved away"})["Alias"]
assert moved["RoutingStrategy"] == {"Type": "TERMINAL", "Message": "moved away"}, moved
gamelift.delete_alias(AliasId=front["AliasId"])
refuses(raises.NotFoundException, "there is no alias", gamelift.describe_alias, AliasId=front["AliasId"])
for doomed in fleet_id, spare["FleetId"]:
    gamelift.delete_fleet(FleetId=doomed)
assert gamelift.list_fleets().get("FleetIds") == []
for name in "custom-cellar", "custom-attic":
    gamelift.delete_location(LocationName=name)
refuses(raises.LimitExceededException, "--max-locations", lambda: [
    gamelift.create_location(LocationName=f"custom-room-{i}") for i in range(21)])
