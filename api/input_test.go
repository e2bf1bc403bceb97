package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// refused checks that a reply refuses the input with a message that has all the parts.
func refused(t *testing.T, r reply, parts ...string) {
	t.Helper()
	if r.status != http.StatusBadRequest || r.text("__type") != "InvalidRequestException" {
		t.Errorf("%d %q, want 400 InvalidRequestException", r.status, r.body)
		return
	}
	for _, part := range parts {
		if !strings.Contains(r.text("Message"), part) {
			t.Errorf("the message is %q, want it to say %q", r.text("Message"), part)
		}
	}
}

func TestEmptyBodySetsNoMembers(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		for _, contentType := range []string{w.contentType, ""} {
			request := w.request("CreatePlayerSession", nil)
			refused(t, w.send(t, s, request, "Content-Type", contentType), "GameSessionId is missing", "PlayerId is missing")
		}
	})
}

func TestNullMembersAreNotSet(t *testing.T) {
	s := newService(t)
	game := s.newGameSession(10)
	eachWire(t, func(t *testing.T, w wire) {
		refused(t, w.call(t, s, "CreatePlayerSession", members{"GameSessionId": nil, "PlayerId": nil}), "GameSessionId is missing", "PlayerId is missing")
		refused(t, w.call(t, s, "CreatePlayerSessions", members{"GameSessionId": game, "PlayerIds": nil}), "PlayerIds is missing")
		w.must(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice", "PlayerData": nil})
		w.must(t, s, "CreatePlayerSessions", members{"GameSessionId": game, "PlayerIds": []string{"bob"}, "PlayerDataMap": nil})
		w.must(t, s, "DescribePlayerSessions", members{
			"GameSessionId": game, "PlayerId": nil, "PlayerSessionId": nil, "PlayerSessionStatusFilter": nil, "Limit": nil, "NextToken": nil,
		})
		w.must(t, s, "CreateFleet", members{
			"Name": "fleet", "ComputeType": "ANYWHERE", "Locations": []members{{"Location": location}},
			"Tags": nil, "AnywhereConfiguration": nil, "ResourceCreationLimitPolicy": nil, "EC2InstanceType": nil, "RuntimeConfiguration": nil,
		})
		w.must(t, s, "ListFleets", members{"BuildId": nil, "ScriptId": nil, "Limit": nil, "NextToken": nil})
		w.must(t, s, "DescribeFleetAttributes", members{"FleetIds": nil, "Limit": nil, "NextToken": nil})
		w.must(t, s, "ListCompute", members{"FleetId": s.fleet, "Location": nil, "ComputeStatus": nil, "ContainerGroupDefinitionName": nil, "Limit": nil})
		w.must(t, s, "SearchGameSessions", members{"FleetId": s.fleet, "AliasId": nil, "FilterExpression": nil, "SortExpression": nil})
		queue := s.fresh("queue-")
		w.must(t, s, "CreateGameSessionQueue", members{
			"Name": queue, "TimeoutInSeconds": nil, "PlayerLatencyPolicies": nil, "Destinations": nil, "FilterConfiguration": nil,
			"PriorityConfiguration": members{"PriorityOrder": nil, "LocationOrder": []string{location}}, "CustomEventData": nil, "NotificationTarget": nil, "Tags": nil,
		})
		r := w.must(t, s, "UpdateGameSessionQueue", members{"Name": queue, "TimeoutInSeconds": nil, "PriorityConfiguration": nil, "CustomEventData": "finale"})
		if r.text("GameSessionQueue", "PriorityConfiguration", "LocationOrder", 0) != location || r.text("GameSessionQueue", "CustomEventData") != "finale" {
			t.Errorf("the queue is %q", r.body)
		}
		refused(t, w.call(t, s, "UpdateGameSessionQueue", members{"Name": nil}), "Name is missing")
	})
}

func TestNullIsAnInputWithoutMembers(t *testing.T) {
	s := newService(t)
	refused(t, awsJSON.send(t, s, awsJSON.request("CreatePlayerSession", []byte("null"))), "GameSessionId is missing")
	refused(t, rpcCBOR.send(t, s, rpcCBOR.request("CreatePlayerSession", []byte{0xf6})), "GameSessionId is missing")
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		w.must(t, s, "CreateGameSession", members{
			"FleetId": s.fleet, "MaximumPlayerSessionCount": 1,
			"GameProperties": []members{{"Key": "mode", "Value": "duel", "Since": "2031"}},
			"Weather":        members{"Wind": []any{1, "strong", nil, true, 2.5}},
		})
		r := w.must(t, s, "ListFleets", members{"pageInput": members{"Limit": -1}, "PageInput": 7, "Limit": 1})
		if r.text("FleetIds", 0) != s.fleet {
			t.Errorf("the fleets are %q", r.body)
		}
		r = w.must(t, s, "CreateGameSessionQueue", members{
			"Name": s.fresh("queue-"), "queueSettings": members{"TimeoutInSeconds": -1}, "TimeoutInSeconds": 7,
			"PriorityConfiguration": members{"PriorityOrder": []string{"COST"}, "Weather": nil},
		})
		if r.number("GameSessionQueue", "TimeoutInSeconds") != 7 {
			t.Errorf("the queue is %q", r.body)
		}
	})
}

func TestMemberNamesAreCaseSensitive(t *testing.T) {
	s := newService(t)
	game := s.newGameSession(1)
	eachWire(t, func(t *testing.T, w wire) {
		refused(t, w.call(t, s, "CreatePlayerSession", members{"gameSessionId": game, "GAMESESSIONID": game, "PlayerID": "alice"}),
			"GameSessionId is missing", "PlayerId is missing")
		refused(t, w.call(t, s, "UpdateGameSession", members{"GameSessionId": game, "GameProperties": []members{{"key": "mode", "value": "duel"}}}),
			"GameProperties[0].Key is missing", "GameProperties[0].Value is missing")
		w.must(t, s, "ListFleets", members{"limit": -1, "LIMIT": "many", "nexttoken": 7})
		r := w.must(t, s, "CreateGameSessionQueue", members{"Name": s.fresh("queue-"), "timeoutInSeconds": -1, "CUSTOMEVENTDATA": 7, "priorityConfiguration": "none"})
		if got := r.object("GameSessionQueue"); got["CustomEventData"] != "" || r.number("GameSessionQueue", "TimeoutInSeconds") != 600 {
			t.Errorf("the queue is %q", r.body)
		}
		refused(t, w.call(t, s, "CreateAlias", members{"name": "front", "routingStrategy": members{}}), "Name is missing", "RoutingStrategy is missing")
		refused(t, w.call(t, s, "TagResource", members{"ResourceArn": "arn", "tags": []any{}}), "ResourceARN is missing", "Tags is missing")
	})
}

func TestRepeatedMembersAreRefused(t *testing.T) {
	s := newService(t)
	game := s.newGameSession(1)
	for _, body := range []string{
		`{"GameSessionId": "` + game + `", "PlayerId": "alice", "PlayerId": "bob"}`,
		`{"GameSessionId": "` + game + `", "PlayerId": "alice", "\u0050layerId": "alice"}`,
		`{"GameSessionId": "` + game + `", "PlayerId": "alice", "Weather": 1, "Weather": 2}`,
	} {
		refused(t, awsJSON.send(t, s, awsJSON.request("CreatePlayerSession", []byte(body))), "duplicate")
	}
	for _, last := range []string{"PlayerId", "Weather"} {
		body := []byte{0xa4}
		for _, member := range []string{"GameSessionId", game, "PlayerId", "alice", last, "1", last, "2"}[:8] {
			text, err := cbor.Marshal(member)
			if err != nil {
				t.Fatal(err)
			}
			body = append(body, text...)
		}
		refused(t, rpcCBOR.send(t, s, rpcCBOR.request("CreatePlayerSession", body)), "duplicate")
	}
	if n := s.taken(game); n != 0 {
		t.Errorf("%d slots are taken, want none", n)
	}
}

func TestMoreAfterTheInputIsRefused(t *testing.T) {
	s := newService(t)
	refused(t, awsJSON.send(t, s, awsJSON.request("DescribePlayerSessions", []byte(`{"PlayerId": "alice"} {}`))), "not a valid input")
	refused(t, rpcCBOR.send(t, s, rpcCBOR.request("DescribePlayerSessions", []byte("\xa1\x68PlayerId\x65alice\xa0"))), "not a valid input")
}

func TestIndefiniteLengthsAreAccepted(t *testing.T) {
	s := newService(t)
	game := s.newGameSession(2)
	text := func(s string) string { // in two chunks
		half := len(s) / 2
		first, _ := cbor.Marshal(s[:half])
		second, _ := cbor.Marshal(s[half:])
		return "\x7f" + string(first) + string(second) + "\xff"
	}
	body := "\xbf" + // a map
		text("GameSessionId") + text(game) +
		text("PlayerIds") + "\x9f" + text("alice") + text("bob") + "\xff" +
		text("PlayerDataMap") + "\xbf" + text("alice") + text("level 7") + "\xff" +
		text("Weather") + "\x9f\xbf\xff\xff" + // not a member
		"\xff"
	r := rpcCBOR.send(t, s, rpcCBOR.request("CreatePlayerSessions", []byte(body)))
	if r.status != http.StatusOK || r.text("PlayerSessions", 0, "PlayerData") != "level 7" || r.text("PlayerSessions", 1, "PlayerId") != "bob" {
		t.Errorf("%d %q", r.status, r.body)
	}
}

func TestIntegersOfAnyWidthAreAccepted(t *testing.T) {
	s := newService(t)
	for _, five := range []string{"\x05", "\x18\x05", "\x19\x00\x05", "\x1a\x00\x00\x00\x05", "\x1b\x00\x00\x00\x00\x00\x00\x00\x05"} {
		r := rpcCBOR.send(t, s, rpcCBOR.request("DescribePlayerSessions", []byte("\xa2\x68PlayerId\x65alice\x65Limit"+five)))
		if r.status != http.StatusOK {
			t.Errorf("%q: %d %q", five, r.status, r.body)
		}
	}
}

func TestInvalidTextIsRefused(t *testing.T) {
	s := newService(t)
	for _, text := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"} {
		refused(t, awsJSON.send(t, s, awsJSON.request("DescribePlayerSessions", []byte(`{"PlayerId": "`+text+`"}`))), "not a valid input")
		body := fmt.Sprintf("\xa1\x68PlayerId%c%s", 0x60+len(text), text)
		refused(t, rpcCBOR.send(t, s, rpcCBOR.request("DescribePlayerSessions", []byte(body))), "not a valid input")
	}
	refused(t, awsJSON.send(t, s, awsJSON.request("DescribePlayerSessions", []byte(`{"PlayerId": "\ud83c"}`))), "not a valid input")
}

func TestValueOfTheWrongTypeIsRefusedByName(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		for _, c := range []struct {
			operation string
			member    string
			value     any
		}{
			{"CreatePlayerSession", "PlayerId", 7},
			{"CreatePlayerSession", "PlayerId", true},
			{"CreatePlayerSession", "PlayerId", []string{"alice"}},
			{"CreatePlayerSession", "PlayerId", []byte(nil)},
			{"CreatePlayerSessions", "PlayerIds", "alice"},
			{"CreatePlayerSessions", "PlayerIds", []int{7}},
			{"CreatePlayerSessions", "PlayerDataMap", []string{"alice"}},
			{"CreatePlayerSessions", "PlayerDataMap", map[string]int{"alice": 7}},
			{"DescribePlayerSessions", "Limit", "7"},
			{"DescribePlayerSessions", "Limit", 7.5},
			{"DescribePlayerSessions", "Limit", uint64(1) << 63},
			{"CreateGameSession", "GameProperties", members{"Key": "mode", "Value": "duel"}},
			{"CreateGameSession", "GameProperties", []string{"mode"}},
			{"CreateFleet", "AnywhereConfiguration", "0.25"},
			{"ListFleets", "Limit", "7"},
			{"ListFleets", "NextToken", 7},
			{"DescribeFleetAttributes", "FleetIds", "fleet-1"},
			{"CreateGameSessionQueue", "TimeoutInSeconds", "7"},
			{"CreateGameSessionQueue", "Destinations", []string{"fleet-1"}},
			{"CreateGameSessionQueue", "PriorityConfiguration", members{"LocationOrder": []int{7}}},
			{"UpdateGameSessionQueue", "FilterConfiguration", []string{location}},
			{"StartGameSessionPlacement", "PlayerLatencies", []members{{"LatencyInMilliseconds": "7"}}},
			{"CreateAlias", "RoutingStrategy", "SIMPLE"},
			{"TagResource", "Tags", members{"team": "red"}},
			{"PlacePlayerSessions", "PlayerDataMap", []string{"alice"}},
		} {
			if raw, ok := c.value.([]byte); ok {
				if w.name == awsJSON.name {
					continue // JSON has no bytes
				}
				c.value = slices.Concat(raw, []byte("alice"))
			}
			refused(t, w.call(t, s, c.operation, members{c.member: c.value}), "not a valid input: "+c.member, " cannot be a ")
		}
		refused(t, w.call(t, s, "CreatePlayerSession", members{"PlayerId": []string{"alice"}}), "PlayerId cannot be a ", " array")
		for _, body := range []any{"text", 7, []string{"list"}, true} {
			refused(t, w.call(t, s, "CreatePlayerSession", body), "not a valid input: it cannot be a ")
		}
	})
}

func TestDeepNestingIsRefused(t *testing.T) {
	s := newService(t)
	const depth = 100_000
	refused(t, awsJSON.send(t, s, awsJSON.request("CreateFleet",
		[]byte(`{"BuildId": `+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}`))), "not a valid input")
	refused(t, rpcCBOR.send(t, s, rpcCBOR.request("CreateFleet",
		[]byte("\xa1\x67BuildId"+strings.Repeat("\x81", depth)+"\x80"))), "not a valid input")
}

func TestContentTypeMayHaveParameters(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		w.must(t, s, "DescribePlayerSessions", members{"PlayerId": "alice"}, "Content-Type", strings.ToUpper(w.contentType)+"; charset=utf-8")
	})
}

// GameSessionData is the largest member. Each of its characters takes 12 bytes when it is written as a pair of escapes.
func TestLargestValidInputFitsInTheLimitOfTheBody(t *testing.T) {
	s := newService(t)
	body := `{"FleetId": "` + s.fleet + `", "MaximumPlayerSessionCount": 1, "GameSessionData": "` + strings.Repeat(`\ud83c\udfae`, 262_144) + `"}`
	r := awsJSON.send(t, s, awsJSON.request("CreateGameSession", []byte(body)))
	if r.status != http.StatusOK || r.text("GameSession", "GameSessionData") != strings.Repeat("🎮", 262_144) {
		t.Errorf("%d %.1000s", r.status, r.body)
	}
}

func TestBodyMayHaveFourMiBAndNotAByteMore(t *testing.T) {
	s := newService(t)
	pad := func(size int) []byte {
		body := []byte(`{"PlayerId": "alice"}`)
		return append(body, strings.Repeat(" ", size-len(body))...)
	}
	if r := awsJSON.send(t, s, awsJSON.request("DescribePlayerSessions", pad(4<<20))); r.status != http.StatusOK {
		t.Errorf("4 MiB: %d %s", r.status, r.body)
	}
	if r := awsJSON.send(t, s, awsJSON.request("DescribePlayerSessions", pad(4<<20+1))); r.status != http.StatusRequestEntityTooLarge {
		t.Errorf("4 MiB and a byte: %d %s", r.status, r.body)
	}
}

func TestWrongMethodIsToldTheRightOne(t *testing.T) {
	s := newService(t)
	for _, c := range []struct{ method, path, allow string }{
		{http.MethodGet, "/", http.MethodPost},
		{http.MethodPut, "/", http.MethodPost},
		{http.MethodGet, "/service/GameLift/operation/CreatePlayerSession", http.MethodPost},
		{http.MethodPost, "/healthz", http.MethodGet},
		{http.MethodDelete, "/readyz", http.MethodGet},
	} {
		request := awsJSON.request("CreatePlayerSession", nil)
		request.Method, request.URL.Path = c.method, c.path
		r := awsJSON.send(t, s, request)
		if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != c.allow || !strings.Contains(r.text("Message"), "use "+c.allow) {
			t.Errorf("%s %s: %d, Allow %q, %s", c.method, c.path, r.status, r.header.Get("Allow"), r.body)
		}
	}
}

func TestFleetsAndComputesAreNeverOfTheKindsThatBerthLacks(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		for _, c := range []struct {
			operation string
			input     members
			list      string
		}{
			{"ListFleets", members{"BuildId": "build-1"}, "FleetIds"},
			{"ListFleets", members{"ScriptId": "script-1"}, "FleetIds"},
			{"ListLocations", members{"Filters": []string{"AWS"}}, "Locations"},
			{"ListCompute", members{"FleetId": s.fleet, "ContainerGroupDefinitionName": "group"}, "ComputeList"},
			{"ListCompute", members{"FleetId": s.fleet, "ComputeStatus": "IMPAIRED"}, "ComputeList"},
		} {
			if r := w.must(t, s, c.operation, c.input); r.diff(members{c.list: []string{}}) != "" {
				t.Errorf("%s with %v: %q", c.operation, c.input, r.body)
			}
		}
		for _, c := range []struct {
			operation string
			input     members
			list      string
		}{
			{"ListLocations", members{"Filters": []string{"AWS", "CUSTOM"}}, "Locations"},
			{"ListCompute", members{"FleetId": s.fleet, "ComputeStatus": "ACTIVE"}, "ComputeList"},
		} {
			if list := w.must(t, s, c.operation, c.input); len(list.object(c.list, 0)) == 0 {
				t.Errorf("%s with %v: %q", c.operation, c.input, list.body)
			}
		}
	})
}
