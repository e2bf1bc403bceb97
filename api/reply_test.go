package api_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// situation is one way in which a request can end.
type situation struct {
	name      string
	status    int
	exception string // none: success
	message   string // part of it
	send      func(t *testing.T, w wire) reply
}

// situations are one of each kind of failure that the allocator knows, of each way in which a request can be no call of an
// operation, and a success.
var situations = []situation{
	{"success", 200, "", "", func(t *testing.T, w wire) reply {
		s := newService(t)
		return w.call(t, s, "CreatePlayerSession", members{"GameSessionId": s.newGameSession(1), "PlayerId": "alice"})
	}},

	// Kinds of failure.
	{"invalid request", 400, "InvalidRequestException", "Limit is 101; it must be 1 to 100", func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "DescribePlayerSessions", members{"PlayerId": "alice", "Limit": 101})
	}},
	{"not found", 400, "NotFoundException", "there is no game session", func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "CreatePlayerSession", members{"GameSessionId": "nowhere", "PlayerId": "alice"})
	}},
	{"conflict", 400, "ConflictException", "is there already", func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "CreateLocation", members{"LocationName": location})
	}},
	{"idempotent parameter mismatch", 400, "IdempotentParameterMismatchException", "other parameters", func(t *testing.T, w wire) reply {
		s := newService(t)
		s.mustCall("CreateGameSession", members{"FleetId": s.fleet, "MaximumPlayerSessionCount": 1, "IdempotencyToken": "t"})
		return w.call(t, s, "CreateGameSession", members{"FleetId": s.fleet, "MaximumPlayerSessionCount": 2, "IdempotencyToken": "t"})
	}},
	{"game session full", 400, "GameSessionFullException", "no room: 1 of its 1 slots", func(t *testing.T, w wire) reply {
		s := newService(t)
		game := s.newGameSession(1)
		s.reserve(game)
		return w.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
	}},
	{"invalid game session status", 400, "InvalidGameSessionStatusException", "DENY_ALL", func(t *testing.T, w wire) reply {
		s := newService(t)
		game := s.newGameSession(1)
		s.mustCall("UpdateGameSession", members{"GameSessionId": game, "PlayerSessionCreationPolicy": "DENY_ALL"})
		return w.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
	}},
	{"invalid player session status", 400, "InvalidRequestException", "has not been accepted", func(t *testing.T, w wire) reply {
		s := newService(t)
		game := s.newGameSession(1)
		return w.call(t, s, "RemovePlayerSession", members{"GameSessionId": game, "PlayerSessionId": s.reserve(game)})
	}},
	{"fleet capacity exceeded", 400, "FleetCapacityExceededException", "RegisterCompute", func(t *testing.T, w wire) reply {
		s := newService(t)
		empty := s.mustCall("CreateFleet", members{
			"Name": "empty", "ComputeType": "ANYWHERE", "Locations": []members{{"Location": location}},
		}).text("FleetAttributes", "FleetId")
		return w.call(t, s, "CreateGameSession", members{"FleetId": empty, "MaximumPlayerSessionCount": 1})
	}},
	{"invalid fleet status", 400, "InvalidFleetStatusException", "1 game sessions that have not ended", func(t *testing.T, w wire) reply {
		s := newService(t)
		s.newGameSession(1)
		return w.call(t, s, "DeleteFleet", members{"FleetId": s.fleet})
	}},
	{"limit exceeded", 400, "LimitExceededException", "would have more than 100 locations", func(t *testing.T, w wire) reply {
		s := newService(t)
		return w.call(t, s, "CreateFleetLocations", members{"FleetId": s.fleet, "Locations": s.listOf("CreateFleetLocations", "Locations", 100)})
	}},
	{"terminal routing strategy", 400, "TerminalRoutingStrategyException", "closed for the winter", func(t *testing.T, w wire) reply {
		s := newService(t)
		alias := s.mustCall("CreateAlias", members{
			"Name": "front", "RoutingStrategy": members{"Type": "TERMINAL", "Message": "closed for the winter"},
		}).text("Alias", "AliasId")
		return w.call(t, s, "CreateGameSession", members{"AliasId": alias, "MaximumPlayerSessionCount": 1})
	}},
	{"store unavailable", 500, "InternalServiceException", "the store is unavailable", func(t *testing.T, w wire) reply {
		s := newService(t)
		game := s.newGameSession(1)
		s.outage.set(down)
		return w.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
	}},
	{"outcome unknown", 500, "InternalServiceException", "may or may not have happened", func(t *testing.T, w wire) reply {
		s := newService(t)
		game := s.newGameSession(1)
		s.outage.set(silence)
		return w.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
	}},
	{"internal", 500, "InternalServiceException", "cannot work with", func(t *testing.T, w wire) reply {
		s := newService(t)
		game := s.newGameSession(1)
		s.reserve(game)
		damage(t, s.store, "berth:{*}:players:*")
		return w.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
	}},
	{"panic", 500, "InternalServiceException", "unforeseen", func(t *testing.T, w wire) reply {
		request := w.request("CreatePlayerSession", nil)
		request.Body = explosive{}
		return w.send(t, newService(t), request)
	}},

	// Requests that are no call of an operation.
	{"constraint broken", 400, "InvalidRequestException", "PlayerId has 0 characters; the minimum is 1", func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "CreatePlayerSession", members{"GameSessionId": "nowhere", "PlayerId": ""})
	}},
	{"unknown operation", 404, "UnknownOperationException", `"BrewCoffee"`, func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "BrewCoffee", members{})
	}},
	{"operation of GameLift that Berth lacks", 404, "UnknownOperationException", `"StartMatchmaking"`, func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "StartMatchmaking", members{})
	}},
	{"broken body", 400, "InvalidRequestException", "the body is not a valid input", func(t *testing.T, w wire) reply {
		return w.send(t, newService(t), w.request("CreatePlayerSession", []byte("\xbf{")))
	}},
	{"body that ends early", 400, "InvalidRequestException", "could not be read to its end", func(t *testing.T, w wire) reply {
		request := w.request("CreatePlayerSession", nil)
		request.Body = endsEarly{}
		return w.send(t, newService(t), request)
	}},
	{"oversized body", 413, "InvalidRequestException", "4 MiB", func(t *testing.T, w wire) reply {
		return w.send(t, newService(t), w.request("CreatePlayerSession", make([]byte, 4<<20+1)))
	}},
	{"wrong content type", 415, "InvalidRequestException", `"text/plain"`, func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "CreatePlayerSession", members{}, "Content-Type", "text/plain")
	}},
	{"no content type", 415, "InvalidRequestException", "the Content-Type is", func(t *testing.T, w wire) reply {
		return w.call(t, newService(t), "CreatePlayerSession", members{}, "Content-Type", "")
	}},
	{"wrong method", 405, "InvalidRequestException", `"PUT"`, func(t *testing.T, w wire) reply {
		request := w.request("CreatePlayerSession", nil)
		request.Method = http.MethodPut
		r := w.send(t, newService(t), request)
		if allow := r.header.Get("Allow"); allow != http.MethodPost {
			t.Errorf("Allow is %q, want POST", allow)
		}
		return r
	}},
	{"unknown path", 404, "InvalidRequestException", `"/service/Shop/operation/Buy"`, func(t *testing.T, w wire) reply {
		request := w.request("CreatePlayerSession", nil)
		request.URL.Path = "/service/Shop/operation/Buy"
		return w.send(t, newService(t), request)
	}},
	{"path with a slash too many", 404, "InvalidRequestException", `there is nothing at`, func(t *testing.T, w wire) reply {
		request := w.request("CreatePlayerSession", nil)
		request.URL.Path = "/service/GameLift/operation/CreatePlayerSession/"
		return w.send(t, newService(t), request)
	}},
}

// damage makes the keys of a store unusable.
func damage(t *testing.T, store *allocatortest.Store, pattern string) {
	t.Helper()
	ctx := context.Background()
	keys, err := store.Client().Keys(ctx, pattern).Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("%s: no keys (error: %v)", pattern, err)
	}
	for _, key := range keys {
		if err := store.Client().Set(ctx, key, "damaged", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

type explosive struct{}

func (explosive) Read([]byte) (int, error) { panic("the body explodes") }
func (explosive) Close() error             { return nil }

type endsEarly struct{}

func (endsEarly) Read([]byte) (int, error) { return 0, context.Canceled }
func (endsEarly) Close() error             { return nil }

func eachSituation(t *testing.T, f func(t *testing.T, s situation, w wire)) {
	eachWire(t, func(t *testing.T, w wire) {
		for _, s := range situations {
			t.Run(s.name, func(t *testing.T) { f(t, s, w) })
		}
	})
}

func TestEachFailureHasItsExceptionAndStatus(t *testing.T) {
	eachSituation(t, func(t *testing.T, s situation, w wire) {
		r := s.send(t, w)
		if r.status != s.status {
			t.Errorf("the status is %d, want %d; the body is %q", r.status, s.status, r.body)
		}
		if s.exception == "" {
			return
		}
		if name := r.text("__type"); name != s.exception {
			t.Errorf("__type is %q, want %q", name, s.exception)
		}
		if name := r.header.Get("X-Amzn-ErrorType"); name != s.exception {
			t.Errorf("the header x-amzn-ErrorType is %q, want %q", name, s.exception)
		}
		if message := r.text("Message"); !strings.Contains(message, s.message) {
			t.Errorf("Message is %q, want it to say %q", message, s.message)
		}
		if message := r.text("message"); message != r.text("Message") {
			t.Errorf("message is %q, but Message is %q", message, r.text("Message"))
		}
		if got := r.object(); len(got) != 3 {
			t.Errorf("the body has %d members, want __type, Message and message: %q", len(got), r.body)
		}
	})
}

func TestEveryReplyNamesItsRequest(t *testing.T) {
	seen := make(map[string]bool)
	eachSituation(t, func(t *testing.T, s situation, w wire) {
		id := s.send(t, w).header.Get("x-amzn-RequestId")
		if id == "" || seen[id] {
			t.Errorf("x-amzn-RequestId is %q, want one that no other reply had", id)
		}
		seen[id] = true
	})
}

func TestEveryReplyNamesItsProtocol(t *testing.T) {
	eachSituation(t, func(t *testing.T, s situation, w wire) {
		r := s.send(t, w)
		if got := r.header.Values("Content-Type"); len(got) != 1 || got[0] != w.contentType {
			t.Errorf("Content-Type is %q, want %q", got, w.contentType)
		}
		var want []string
		if w.name == rpcCBOR.name {
			want = []string{"rpc-v2-cbor"}
		}
		if got := r.header.Values("smithy-protocol"); !cmp.Equal(got, want) {
			t.Errorf("smithy-protocol is %q, want %q", got, want)
		}
	})
}

func TestCallsMustNameTheirProtocolOrOperation(t *testing.T) {
	for _, c := range []struct {
		wire    wire
		header  string
		value   string
		message string
	}{
		{awsJSON, "X-Amz-Target", "", "the header X-Amz-Target is missing"},
		{rpcCBOR, "Smithy-Protocol", "", "the header Smithy-Protocol is"},
		{rpcCBOR, "Smithy-Protocol", "rpc-v1", `the header Smithy-Protocol is "rpc-v1"`},
	} {
		// The path says that it is a call in CBOR, so the reply is in CBOR.
		r := c.wire.call(t, newService(t), "CreatePlayerSession", members{}, c.header, c.value)
		if r.status != http.StatusBadRequest || r.text("__type") != "InvalidRequestException" || !strings.Contains(r.text("Message"), c.message) {
			t.Errorf("%s %q: %d %q, want 400 InvalidRequestException: %s", c.header, c.value, r.status, r.body, c.message)
		}
	}
}

func TestTargetThatIsNotOfGameLiftIsUnknown(t *testing.T) {
	s := newService(t)
	for _, target := range []string{"DynamoDB_20120810.ListTables", "CreatePlayerSession", "gamelift.CreatePlayerSession"} {
		r := awsJSON.call(t, s, "", members{}, "X-Amz-Target", target)
		if r.status != http.StatusNotFound || r.text("__type") != "UnknownOperationException" || !strings.Contains(r.text("Message"), `"`+target+`"`) {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
}

func TestMessagesOnlyQuoteTheBeginningOfWhatIsLong(t *testing.T) {
	s := newService(t)
	long := strings.Repeat("é", 5000)
	for name, r := range map[string]reply{
		"operation":    awsJSON.call(t, s, long, members{}),
		"content type": awsJSON.call(t, s, "CreatePlayerSession", members{}, "Content-Type", long),
		"protocol":     rpcCBOR.call(t, s, "CreatePlayerSession", members{}, "Smithy-Protocol", long),
	} {
		if message := r.text("Message"); !strings.Contains(message, strings.Repeat("é", 100)+"…") || len(message) > 400 {
			t.Errorf("%s: %q", name, message)
		}
	}
}

func TestMessagesAreNeverLargerThanTheyNeedToBe(t *testing.T) {
	s := newService(t)
	large := strings.Repeat("é", 500_000)
	manyKeys := make(map[string]string)
	for i := range 100_000 {
		manyKeys[strconv.Itoa(i)] = ""
	}
	eachWire(t, func(t *testing.T, w wire) {
		for _, c := range []struct {
			operation string
			input     members
		}{
			{"CreateGameSession", members{"MaximumPlayerSessionCount": 1, "AliasId": "alias-" + large}},
			{"CreateFleet", members{"ComputeType": large}},
			{"DescribePlayerSessions", members{"PlayerSessionId": "psess-" + large}},
			{"CreatePlayerSessions", members{"GameSessionId": "nowhere", "PlayerIds": []string{"alice"}, "PlayerDataMap": manyKeys}},
			{"CreatePlayerSessions", members{"GameSessionId": "nowhere", "PlayerIds": []string{large}, "PlayerDataMap": members{large: large}}},
		} {
			r := w.call(t, s, c.operation, c.input)
			if n := utf8.RuneCountInString(r.text("Message")); r.status != http.StatusBadRequest || n > 4097 {
				t.Errorf("%s: status %d, a message of %d characters", c.operation, r.status, n)
			}
		}
	})
}

func TestInvalidTextIsQuotedAsValidText(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		if r := w.call(t, s, "Brew\xffCoffee", members{}); !strings.Contains(r.text("Message"), `"Brew�Coffee"`) {
			t.Errorf("%q", r.body)
		}
	})
}

func TestCausesGoToTheLogAndNotToTheCaller(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		game := s.newGameSession(1)
		s.outage.set(down)
		r := w.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
		if strings.Contains(r.body, "198.51.100.9") {
			t.Errorf("the caller is told %q", r.text("Message"))
		}
		lines := s.log.linesWith("level=ERROR", "198.51.100.9", r.header.Get("x-amzn-RequestId"), "operation=CreatePlayerSession")
		if len(lines) != 1 {
			t.Errorf("the log has %d lines with the cause, the request id and the operation, want one", len(lines))
		}
	})
}

func TestPanicIsLoggedWithItsPlace(t *testing.T) {
	s := newService(t)
	request := awsJSON.request("CreatePlayerSession", nil)
	request.Body = explosive{}
	r := awsJSON.send(t, s, request)
	if lines := s.log.linesWith("level=ERROR", "the body explodes", "explosive.Read", r.header.Get("x-amzn-RequestId")); len(lines) != 1 {
		t.Errorf("the log has %d lines with the panic, its place and the request id, want one", len(lines))
	}
	if r := awsJSON.call(t, s, "DescribePlayerSessions", members{"PlayerId": "alice"}); r.status != http.StatusOK {
		t.Errorf("after a panic, another call gets %d %s", r.status, r.body)
	}
}

func TestPlayerSessionHasEveryMemberThatHasAValue(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		game := s.newGameSession(10)
		created := s.store.Now()
		r := w.must(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "Ålice", "PlayerData": "{\"level\": 7}\n\u2028🎮"})
		id := r.text("PlayerSession", "PlayerSessionId")
		want := members{
			"PlayerSessionId": id,
			"PlayerId":        "Ålice",
			"GameSessionId":   game,
			"FleetId":         s.fleet,
			"FleetArn":        "arn:aws:gamelift:us-east-1::fleet/" + s.fleet,
			"CreationTime":    created,
			"Status":          "RESERVED",
			"IpAddress":       "192.0.2.7",
			"DnsName":         "box.example",
			"Port":            s.mustCall("DescribeGameSessions", members{"GameSessionId": game}).number("GameSessions", 0, "Port"),
			"PlayerData":      "{\"level\": 7}\n\u2028🎮",
		}
		isWanted := func(r reply, path ...any) {
			t.Helper()
			if diff := r.diff(want, path...); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(r.object()) != 1 { // no NextToken, for one
				t.Errorf("the body has other members beside %s: %q", path[0], r.body)
			}
		}
		isEmpty := func(r reply) {
			t.Helper()
			if len(r.object()) != 0 {
				t.Errorf("the body is not empty: %q", r.body)
			}
		}
		this := members{"GameSessionId": game, "PlayerSessionId": id}
		describe := func() reply { return w.must(t, s, "DescribePlayerSessions", members{"PlayerSessionId": id}) }

		isWanted(r, "PlayerSession")
		isWanted(describe(), "PlayerSessions", 0)

		s.store.Advance(1500 * time.Millisecond)
		want["Status"] = "ACTIVE"
		isEmpty(w.must(t, s, "AcceptPlayerSession", this))
		isWanted(describe(), "PlayerSessions", 0)

		s.store.Advance(1500 * time.Millisecond)
		want["Status"], want["TerminationTime"] = "COMPLETED", s.store.Now()
		isEmpty(w.must(t, s, "RemovePlayerSession", this))
		s.store.Advance(time.Second)
		isWanted(describe(), "PlayerSessions", 0)
	})
}

func TestGroupIsAnsweredInTheOrderOfItsPlayers(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		game := s.newGameSession(10)
		r := w.must(t, s, "CreatePlayerSessions", members{
			"GameSessionId": game, "PlayerIds": []string{"zoe", "abe", "mia"}, "PlayerDataMap": map[string]string{"mia": "warm", "zoe": "cold"},
		})
		for i, player := range []struct{ id, data string }{{"zoe", "cold"}, {"abe", ""}, {"mia", "warm"}} {
			data := ""
			if _, ok := r.object("PlayerSessions", i)["PlayerData"]; ok {
				data = r.text("PlayerSessions", i, "PlayerData")
			}
			if id := r.text("PlayerSessions", i, "PlayerId"); id != player.id || data != player.data {
				t.Errorf("player %d is %s with the data %q, want %s with %q", i, id, data, player.id, player.data)
			}
		}
	})
}

func TestTimestampsKeepTheirThreeDecimals(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		game := s.newGameSession(10)
		for _, ms := range []int64{100, 10, 1, 1000} { // .123 is followed by .223, .233, .234, and .234 again
			s.store.Advance(time.Duration(ms) * time.Millisecond)
			r := w.must(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
			if got, want := r.at("PlayerSession", "CreationTime"), w.timestamp(s.store.Now()); got != want {
				t.Errorf("at %v CreationTime is %q, want %q", s.store.Now(), got, want)
			}
		}
		s.store.Advance(time.Second - time.Duration(s.store.Now().Nanosecond()))
		r := w.must(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
		if got, want := r.at("PlayerSession", "CreationTime"), w.timestamp(s.store.Now()); got != want {
			t.Errorf("at a whole second CreationTime is %q, want %q", got, want)
		}
	})
}

func TestTimedOutPlayerSessionEndsAtItsDeadline(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		id := s.reserve(s.newGameSession(1))
		deadline := s.store.Now().Add(time.Minute)
		s.store.Advance(time.Hour)
		r := w.must(t, s, "DescribePlayerSessions", members{"PlayerSessionId": id})
		if got := r.text("PlayerSessions", 0, "Status"); got != "TIMEDOUT" {
			t.Errorf("Status is %s, want TIMEDOUT", got)
		}
		if got, want := r.at("PlayerSessions", 0, "TerminationTime"), w.timestamp(deadline); got != want {
			t.Errorf("TerminationTime is %x, want %x", got, want)
		}
	})
}

func TestMembersWithoutAValueAreLeftOut(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		// A compute without a DNS name, a game session without a name, a player session without data.
		fleet := s.mustCall("CreateFleet", members{
			"Name": "bare", "ComputeType": "ANYWHERE", "Locations": []members{{"Location": location}},
		}).text("FleetAttributes", "FleetId")
		compute := w.must(t, s, "RegisterCompute", members{"FleetId": fleet, "ComputeName": "bare", "Location": location, "IpAddress": "192.0.2.8"})
		game := w.must(t, s, "CreateGameSession", members{"FleetId": fleet, "MaximumPlayerSessionCount": 1})
		player := w.must(t, s, "CreatePlayerSession", members{"GameSessionId": game.text("GameSession", "GameSessionId"), "PlayerId": "alice"})
		for name, without := range map[string]struct {
			shape   map[string]string
			members []string
		}{
			"Compute":       {compute.object("Compute"), []string{"DnsName"}},
			"GameSession":   {game.object("GameSession"), []string{"Name", "TerminationTime", "GameProperties", "DnsName", "CreatorId", "GameSessionData"}},
			"PlayerSession": {player.object("PlayerSession"), []string{"TerminationTime", "DnsName", "PlayerData"}},
		} {
			for _, member := range without.members {
				if raw, ok := without.shape[member]; ok {
					t.Errorf("%s has %s: %q", name, member, raw)
				}
			}
		}
	})
}

type property struct{ Key, Value string }

func TestGameSessionHasEveryMemberThatHasAValue(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		created := s.store.Now()
		r := w.must(t, s, "CreateGameSession", members{
			"FleetId":                   "arn:aws:gamelift:us-east-1::fleet/" + s.fleet,
			"MaximumPlayerSessionCount": 3,
			"Name":                      "Über den Wolken",
			"GameProperties":            []property{{"mode", "duel"}, {"map", "cliffs"}},
			"CreatorId":                 "matchmaker",
			"GameSessionId":             "match-7",
			"GameSessionData":           `{"seed": 42}`,
			"Location":                  location,
		})
		game := "arn:aws:gamelift:us-east-1::gamesession/" + s.fleet + "/match-7"
		port := r.number("GameSession", "Port")
		if port < 1 || port > 60000 {
			t.Errorf("Port is %d, want 1 to 60000", port)
		}
		want := members{
			"GameSessionId":               game,
			"Name":                        "Über den Wolken",
			"FleetId":                     s.fleet,
			"FleetArn":                    "arn:aws:gamelift:us-east-1::fleet/" + s.fleet,
			"CreationTime":                created,
			"CurrentPlayerSessionCount":   0,
			"MaximumPlayerSessionCount":   3,
			"Status":                      "ACTIVE",
			"GameProperties":              []property{{"map", "cliffs"}, {"mode", "duel"}},
			"IpAddress":                   "192.0.2.7",
			"DnsName":                     "box.example",
			"Port":                        port,
			"PlayerSessionCreationPolicy": "ACCEPT_ALL",
			"CreatorId":                   "matchmaker",
			"GameSessionData":             `{"seed": 42}`,
			"Location":                    location,
			"ComputeName":                 "box",
			"PlayerGatewayStatus":         "DISABLED",
		}
		isWanted := func(r reply, path ...any) {
			t.Helper()
			if diff := r.diff(want, path...); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		isWanted(r, "GameSession")

		s.store.Advance(1500 * time.Millisecond)
		s.reserve(game)
		want["CurrentPlayerSessionCount"] = 1
		want["MaximumPlayerSessionCount"], want["Name"], want["PlayerSessionCreationPolicy"] = 2, "Landed", "DENY_ALL"
		want["GameProperties"] = []property{{"map", "caves"}, {"mode", "duel"}, {"night", ""}}
		isWanted(w.must(t, s, "UpdateGameSession", members{
			"GameSessionId": game, "MaximumPlayerSessionCount": 2, "Name": "Landed", "PlayerSessionCreationPolicy": "DENY_ALL",
			"ProtectionPolicy": "FullProtection", "GameProperties": []property{{"night", ""}, {"map", "caves"}},
		}), "GameSession")
		isWanted(w.must(t, s, "DescribeGameSessions", members{"GameSessionId": game}), "GameSessions", 0)
		isWanted(w.must(t, s, "DescribeGameSessions", members{"FleetId": s.fleet, "StatusFilter": "ACTIVE"}), "GameSessions", 0)
	})
}

func TestFleetLocationAndComputeHaveEveryMemberThatHasAValue(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		r := w.must(t, s, "CreateLocation", members{"LocationName": "custom-attic"})
		if diff := r.diff(members{"LocationName": "custom-attic", "LocationArn": "arn:aws:gamelift:us-east-1::location/custom-attic"}, "Location"); diff != "" {
			t.Errorf("Location, -want +got:\n%s", diff)
		}

		r = w.must(t, s, "CreateFleet", members{
			"Name": "castle", "Description": "old", "ComputeType": "ANYWHERE",
			"Locations":                      []members{{"Location": "custom-attic"}, {"Location": location}},
			"AnywhereConfiguration":          members{"Cost": "0.25"},
			"NewGameSessionProtectionPolicy": "FullProtection",
			"ResourceCreationLimitPolicy":    members{"NewGameSessionsPerCreator": 3, "PolicyPeriodInMinutes": 15},
			"MetricGroups":                   []string{"group"},
			"PlayerGatewayMode":              "DISABLED",
		})
		fleet := r.text("FleetAttributes", "FleetId")
		if diff := r.diff(members{
			"FleetId":                        fleet,
			"FleetArn":                       "arn:aws:gamelift:us-east-1::fleet/" + fleet,
			"Name":                           "castle",
			"Description":                    "old",
			"CreationTime":                   s.store.Now(),
			"Status":                         "ACTIVE",
			"ComputeType":                    "ANYWHERE",
			"NewGameSessionProtectionPolicy": "FullProtection",
			"AnywhereConfiguration":          members{"Cost": "0.25"},
			"ResourceCreationLimitPolicy":    members{"NewGameSessionsPerCreator": 3, "PolicyPeriodInMinutes": 15},
			"MetricGroups":                   []string{"group"},
			"PlayerGatewayMode":              "DISABLED",
		}, "FleetAttributes"); diff != "" {
			t.Errorf("FleetAttributes, -want +got:\n%s", diff)
		}
		for i, location := range []string{"custom-attic", location} {
			want := members{"Location": location, "Status": "ACTIVE", "PlayerGatewayStatus": "DISABLED"}
			if diff := r.diff(want, "LocationStates", i); diff != "" {
				t.Errorf("LocationStates, -want +got:\n%s", diff)
			}
		}

		r = w.must(t, s, "RegisterCompute", members{
			"FleetId": fleet, "ComputeName": "host/1", "Location": "custom-attic", "IpAddress": "2001:db8::7", "DnsName": "h1.example",
			"CertificatePath": "/etc/tls",
		})
		if diff := r.diff(members{
			"FleetId":       fleet,
			"FleetArn":      "arn:aws:gamelift:us-east-1::fleet/" + fleet,
			"ComputeName":   "host/1",
			"ComputeArn":    "arn:aws:gamelift:us-east-1::compute/host/1",
			"IpAddress":     "2001:db8::7",
			"DnsName":       "h1.example",
			"ComputeStatus": "ACTIVE",
			"Location":      "custom-attic",
			"CreationTime":  s.store.Now(),

			"GameLiftServiceSdkEndpoint": "ws://example.com/server-sdk",
		}, "Compute"); diff != "" {
			t.Errorf("Compute, -want +got:\n%s", diff)
		}
	})
}

func TestEmptyListIsAList(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		if r := w.must(t, s, "DescribePlayerSessions", members{"PlayerId": "nobody"}); r.diff(members{"PlayerSessions": []string{}}) != "" {
			t.Errorf("no player sessions are %q", r.body)
		}
		if r := w.must(t, s, "DescribeGameSessions", members{"FleetId": s.fleet}); r.diff(members{"GameSessions": []string{}}) != "" {
			t.Errorf("no game sessions are %q", r.body)
		}
	})
}

func TestNextTokenLeadsThroughAllPages(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		game := s.newGameSession(10)
		var want, got []string
		for range 5 {
			want = append(want, s.reserve(game))
			s.store.Advance(time.Millisecond)
		}
		input := members{"GameSessionId": game, "Limit": 2}
		pages := 0
		for more := true; more; pages++ {
			r := w.must(t, s, "DescribePlayerSessions", input)
			list, err := w.list(r.at("PlayerSessions"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range list {
				got = append(got, r.text("PlayerSessions", i, "PlayerSessionId"))
			}
			if _, more = r.object()["NextToken"]; more {
				input["NextToken"] = r.text("NextToken")
			}
		}
		slices.Sort(want) // the pages are in no order
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
			t.Errorf("%d pages, -want +got:\n%s", pages, diff)
		}
	})
}

func TestLatencyKeepsItsValueAndHas32Bits(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		input := s.validInput("StartGameSessionPlacement").with("PlayerLatencies[0].LatencyInMilliseconds", float32(20.1))
		got := w.must(t, s, "StartGameSessionPlacement", input).at("GameSessionPlacement", "PlayerLatencies", 0, "LatencyInMilliseconds")
		if want, err := w.encode(float32(20.1)); err != nil || got != string(want) {
			t.Errorf("the latency is %q, want %q (error: %v)", got, want, err)
		}
	})
}
