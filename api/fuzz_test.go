package api_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// The ids in what the fuzzer sends stand for ids of the service that it is sent to, which differ from process to process.
// They have the same length, so what is replaced stays as well-formed as it was.
const (
	fuzzFleet         = "fleet-00000000-0000-4000-8000-000000000000"
	fuzzPlayerSession = "psess-00000000-0000-4000-8000-000000000000"
	fuzzGame          = "arn:aws:gamelift:us-east-1::gamesession/" + fuzzFleet + "/match"
)

// fuzzInputs are inputs of each operation, from which the fuzzer starts.
var fuzzInputs = []struct {
	operation string
	input     any
}{
	{"CreateLocation", members{"LocationName": "custom-attic"}},
	{"CreateLocation", members{"LocationName": "custom-" + strings.Repeat("a", 58), "Tags": []property{{"k", "v"}}}},
	{"CreateFleet", members{
		"Name": "castle", "Description": "old", "ComputeType": "ANYWHERE", "Locations": []any{members{"Location": location}},
		"AnywhereConfiguration": members{"Cost": "0.25"}, "NewGameSessionProtectionPolicy": "FullProtection",
		"ResourceCreationLimitPolicy": members{"NewGameSessionsPerCreator": 3, "PolicyPeriodInMinutes": 15},
		"MetricGroups":                []any{"group"}, "PlayerGatewayMode": "DISABLED", "Tags": []any{}, "FleetType": nil,
	}},
	{"CreateFleet", members{"Name": "castle", "ComputeType": "EC2", "EC2InstanceType": "c5.large", "RuntimeConfiguration": members{"ServerProcesses": []any{1, -1, 0.5, true}}}},
	{"RegisterCompute", members{"FleetId": fuzzFleet, "ComputeName": "host/1", "Location": location, "IpAddress": "2001:db8::7", "DnsName": "h.example", "CertificatePath": "/tls"}},
	{"CreateGameSession", members{
		"FleetId": "arn:aws:gamelift:us-east-1::fleet/" + fuzzFleet, "MaximumPlayerSessionCount": 200, "Name": "Über", "CreatorId": "me",
		"GameProperties": []property{{"mode", "duel"}, {"", ""}}, "GameSessionData": "{}", "Location": location, "IdempotencyToken": "t-1",
	}},
	{"CreateGameSession", members{"AliasId": "alias-1", "MaximumPlayerSessionCount": -1, "GameSessionId": "match"}},
	{"DescribeGameSessions", members{"FleetId": fuzzFleet, "Location": location, "StatusFilter": "ACTIVE", "Limit": 1}},
	{"DescribeGameSessions", members{"GameSessionId": fuzzGame, "NextToken": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
	{"UpdateGameSession", members{
		"GameSessionId": fuzzGame, "MaximumPlayerSessionCount": 0, "Name": "x", "PlayerSessionCreationPolicy": "ACCEPT_ALL",
		"ProtectionPolicy": "NoProtection", "GameProperties": []property{{"mode", "duel"}},
	}},
	{"CreatePlayerSession", members{"GameSessionId": fuzzGame, "PlayerId": "alice", "PlayerData": "level 7"}},
	{"CreatePlayerSession", members{"GameSessionId": "arn:aws:gamelift:us-east-1::gamesession//", "PlayerId": "\x00"}},
	{"CreatePlayerSessions", members{"GameSessionId": fuzzGame, "PlayerIds": []any{"alice", "bob"}, "PlayerDataMap": members{"bob": "level 8"}}},
	{"CreatePlayerSessions", members{"GameSessionId": fuzzGame, "PlayerIds": []any{"alice", "alice", nil}, "PlayerDataMap": members{"": ""}}},
	{"DescribePlayerSessions", members{"GameSessionId": fuzzGame, "PlayerSessionStatusFilter": "RESERVED", "Limit": 100}},
	{"DescribePlayerSessions", members{"PlayerId": "alice", "Limit": 1, "NextToken": ""}},
	{"DescribePlayerSessions", members{"PlayerSessionId": fuzzPlayerSession}},
	{"AcceptPlayerSession", members{"GameSessionId": fuzzGame, "PlayerSessionId": fuzzPlayerSession}},
	{"RemovePlayerSession", members{"GameSessionId": fuzzGame, "PlayerSessionId": fuzzPlayerSession}},
	{"RemovePlayerSession", members{"GameSessionId": fuzzGame, "PlayerSessionId": "psess-{}"}},
	{"ListLocations", members{"Filters": []any{"AWS", "CUSTOM"}, "Limit": 200, "NextToken": "AAAA"}},
	{"DeleteLocation", members{"LocationName": "arn:aws:gamelift:us-east-1::location/custom-attic"}},
	{"ListFleets", members{"BuildId": nil, "ScriptId": members{}, "Limit": 1}},
	{"DescribeFleetAttributes", members{"FleetIds": []any{fuzzFleet, "fleet-1", nil}, "Limit": 1}},
	{"DescribeFleetUtilization", members{"FleetIds": []any{"arn:aws:gamelift:us-east-1::fleet/" + fuzzFleet}}},
	{"UpdateFleetAttributes", members{
		"FleetId": fuzzFleet, "Name": "castle", "NewGameSessionProtectionPolicy": "NoProtection", "MetricGroups": []any{},
		"ResourceCreationLimitPolicy": members{"NewGameSessionsPerCreator": 0}, "AnywhereConfiguration": members{"Cost": "1"},
	}},
	{"DeleteFleet", members{"FleetId": "fleet-1"}},
	{"CreateFleetLocations", members{"FleetId": fuzzFleet, "Locations": []any{members{"Location": location}, nil}}},
	{"DescribeFleetLocationAttributes", members{"FleetId": fuzzFleet, "Locations": []any{location}, "NextToken": "A"}},
	{"DeleteFleetLocations", members{"FleetId": fuzzFleet, "Locations": []any{"custom-attic"}}},
	{"DescribeCompute", members{"FleetId": fuzzFleet, "ComputeName": "box"}},
	{"ListCompute", members{"FleetId": fuzzFleet, "Location": location, "ComputeStatus": "ACTIVE", "ContainerGroupDefinitionName": []any{}}},
	{"DeregisterCompute", members{"FleetId": fuzzFleet, "ComputeName": "arn:aws:gamelift:us-east-1::compute/host/1"}},
	{"GetComputeAuthToken", members{"FleetId": fuzzFleet, "ComputeName": "box"}},
	{"CreateAlias", members{"Name": "front", "RoutingStrategy": members{"Type": "SIMPLE", "FleetId": fuzzFleet}, "Tags": []property{{"k", "v"}}}},
	{"CreateAlias", members{"Name": "\t", "Description": "", "RoutingStrategy": members{"Type": "TERMINAL", "Message": "%s\x00"}}},
	{"DescribeAlias", members{"AliasId": "alias-1"}},
	{"ResolveAlias", members{"AliasId": "arn:aws:gamelift:us-east-1::alias/alias-1"}},
	{"ListAliases", members{"RoutingStrategyType": "TERMINAL", "Name": "front", "Limit": 1}},
	{"UpdateAlias", members{"AliasId": "alias-1", "RoutingStrategy": members{"Type": "TERMINAL", "Message": ""}}},
	{"DeleteAlias", members{"AliasId": "alias-*"}},
	{"TagResource", members{"ResourceARN": "arn:aws:gamelift:us-east-1::fleet/" + fuzzFleet, "Tags": []property{{"k", ""}}}},
	{"UntagResource", members{"ResourceARN": "arn:aws:gamelift:us-east-1::gamesessionqueue/", "TagKeys": []any{"k"}}},
	{"ListTagsForResource", members{"ResourceARN": "arn:aws:gamelift:us-east-1::location/" + location}},
	{"DescribeGameSessionDetails", members{"FleetId": fuzzFleet, "Location": location, "Limit": 1}},
	{"SearchGameSessions", members{
		"FleetId": fuzzFleet, "FilterExpression": "NOT (gameSessionName = 'a\\'b' AND maximumSessions >= 1) OR hasAvailablePlayerSessions=true",
		"SortExpression": "gameSessionProperties.mode DESC", "Limit": 20,
	}},
	{"SearchGameSessions", members{"AliasId": "alias-1", "FilterExpression": strings.Repeat("(", 1024)}},
	{"TerminateGameSession", members{"GameSessionId": fuzzGame + "-2", "TerminationMode": "FORCE_TERMINATE"}},
	{"CreateGameSessionQueue", members{
		"Name": "queue", "TimeoutInSeconds": 1, "PlayerLatencyPolicies": []any{members{"MaximumIndividualPlayerLatencyMilliseconds": 100, "PolicyDurationSeconds": 5}},
		"Destinations":        []any{members{"DestinationArn": "arn:aws:gamelift:us-east-1::fleet/" + fuzzFleet}},
		"FilterConfiguration": members{"AllowedLocations": []any{location}}, "CustomEventData": "{}", "NotificationTarget": "topic.fifo",
		"PriorityConfiguration": members{"PriorityOrder": []any{"COST", "LATENCY"}, "LocationOrder": []any{location}},
	}},
	{"DescribeGameSessionQueues", members{"Names": []any{"queue"}, "Limit": 1}},
	{"UpdateGameSessionQueue", members{"Name": "queue", "TimeoutInSeconds": 1 << 62, "Destinations": []any{}, "PriorityConfiguration": members{}}},
	{"DeleteGameSessionQueue", members{"Name": "arn:aws:gamelift:us-east-1::gamesessionqueue/other"}},
	{"StartGameSessionPlacement", members{
		"PlacementId": "placement", "GameSessionQueueName": "queue", "MaximumPlayerSessionCount": 2, "GameSessionName": "duel", "GameSessionData": "{}",
		"PlayerLatencies":       []any{members{"PlayerId": "alice", "RegionIdentifier": location, "LatencyInMilliseconds": 1e300}},
		"DesiredPlayerSessions": []any{members{"PlayerId": "alice", "PlayerData": "level 7"}}, "GameProperties": []property{{"mode", "duel"}},
		"PriorityConfigurationOverride": members{"PlacementFallbackStrategy": "NONE", "LocationOrder": []any{location}},
	}},
	{"DescribeGameSessionPlacement", members{"PlacementId": "placement"}},
	{"StopGameSessionPlacement", members{"PlacementId": "placement"}},
	{"PlacePlayerSessions", members{"FleetId": fuzzFleet, "FilterExpression": "playerSessionCount<5", "PlayerIds": []any{"alice"}, "PlayerDataMap": members{"alice": "x"}}},
	{"", nil},
	{"../healthz", []any{}},
	{"CreatePlayerSession/", "text"},
	{"CreatePlayerSession\x00é\xff", 7},
}

func FuzzJSON(f *testing.F) {
	for _, body := range []string{
		"", " ", "{}", "[]", "null", "0", `"`, "{", `{"":""}`, `{"PlayerId":"a","PlayerId":"b"}`, `{"playerid":"a"}`, `{"PlayerId":7}`,
		`{"PlayerId":"\ud800"}`, "{\"PlayerId\":\"\xff\"}", `{"Limit":1e3}`, `{"Limit":-0}`, `{"Limit":99999999999999999999}`,
		`{"PlayerId":"a"}{}`, strings.Repeat("[", 20_000), `{"PlayerId":"` + strings.Repeat("a", 1025) + `"}`,
	} {
		f.Add("DescribePlayerSessions", []byte(body))
	}
	fuzz(f, awsJSON)
}

func FuzzCBOR(f *testing.F) {
	for _, body := range []string{
		"", "\xa0", "\xbf\xff", "\x80", "\xf6", "\xf7", "\x00", "\xff", "\xbf", "\xa1", "\xa1\x60\x60",
		"\xa1\x68PlayerId\x65alice", "\xa1\x68PlayerId\x7f\x62al\x63ice\xff", "\xa1\x68playerid\x65alice", "\xa1\x68PlayerId\x45alice",
		"\xa2\x68PlayerId\x61a\x68PlayerId\x61b", "\xa1\x68PlayerId\x61\xff", "\xa1\x65Limit\x20", "\xa1\x65Limit\xf9\x3c\x00",
		"\xa1\x65Limit\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\xa1\x65Limit\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\xa1\x00\x00",
		"\xd9\xd9\xf7\xa1\x68PlayerId\x65alice", "\xa1\x68PlayerId\xc1\xfb\x41\xd2\x65\x80\xb4\x87\xdf\x3b", "\xa0\xa0",
		"\xa1\x67BuildId\xa1\xa0\x00", "\xa1\x67BuildId\xa1\x80\x00", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
		strings.Repeat("\x81", 40), strings.Repeat("\xc1", 40), strings.Repeat("\xbf\x61a", 40),
	} {
		f.Add("DescribePlayerSessions", []byte(body))
		f.Add("CreateFleet", []byte(body))
	}
	for _, seed := range fuzzInputs {
		if input, ok := seed.input.(members); ok {
			f.Add(seed.operation, indefinite(f, input))
		}
	}
	fuzz(f, rpcCBOR)
}

// indefinite encodes a map without saying beforehand how long it is.
func indefinite(t testing.TB, input members) []byte {
	t.Helper()
	body := []byte{0xbf}
	for name, value := range input {
		for _, item := range []any{name, value} {
			raw, err := cbor.Marshal(item)
			if err != nil {
				t.Fatal(err)
			}
			body = append(body, raw...)
		}
	}
	return append(body, 0xff)
}

// fuzz holds every answer to what a client needs of it, whatever was sent.
func fuzz(f *testing.F, w wire) {
	for _, seed := range fuzzInputs {
		body, err := w.encode(seed.input)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed.operation, body)
	}
	s := newService(f)
	game := s.mustCall("CreateGameSession", members{
		"FleetId": s.fleet, "MaximumPlayerSessionCount": 200, "GameSessionId": "match",
	}).text("GameSession", "GameSessionId")
	player := s.reserve(game)

	f.Fuzz(func(t *testing.T, operation string, body []byte) {
		body = bytes.ReplaceAll(body, []byte(fuzzFleet), []byte(s.fleet))
		body = bytes.ReplaceAll(body, []byte(fuzzPlayerSession), []byte(player))
		r := w.send(t, s, w.request(operation, body))

		if !slices.Contains([]int{
			http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		}, r.status) {
			t.Errorf("the status is %d: %q", r.status, r.body)
		}
		if r.header.Get("x-amzn-RequestId") == "" {
			t.Error("no request id")
		}
		if got := r.header.Get("Content-Type"); got != w.contentType {
			t.Errorf("the content type is %q", got)
		}
		if w.name == rpcCBOR.name && r.header.Get("smithy-protocol") != "rpc-v2-cbor" {
			t.Errorf("smithy-protocol is %q", r.header.Get("smithy-protocol"))
		}
		r.object() // it decodes
		if r.status == http.StatusOK {
			return
		}
		if r.text("__type") != r.header.Get("x-amzn-ErrorType") || r.text("__type") == "" || r.text("Message") == "" || r.text("message") != r.text("Message") {
			t.Errorf("the exception is %q, %q", r.header.Get("x-amzn-ErrorType"), r.body)
		}
	})
}
