package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// tries calls an operation five times with the same headers and returns the ids of the player sessions it answered with.
func tries(t *testing.T, w wire, s *service, operation string, input members, path []any, headers ...string) (ids []string) {
	t.Helper()
	for range 5 {
		ids = append(ids, w.must(t, s, operation, input, headers...).text(append(path, "PlayerSessionId")...))
	}
	return ids
}

var reservations = []struct {
	operation string
	input     func(game string) members
	path      []any // of a player session in the output
}{
	{"CreatePlayerSession", func(game string) members { return members{"GameSessionId": game, "PlayerId": "alice"} }, []any{"PlayerSession"}},
	{"CreatePlayerSessions", func(game string) members { return members{"GameSessionId": game, "PlayerIds": []string{"alice"}} }, []any{"PlayerSessions", 0}},
}

func TestRequestRepeatedWithItsTokenReservesOneSlot(t *testing.T) {
	for _, header := range []string{"amz-sdk-invocation-id", "Idempotency-Key"} {
		eachWire(t, func(t *testing.T, w wire) {
			for _, reservation := range reservations {
				s := newService(t)
				game := s.newGameSession(10)
				ids := tries(t, w, s, reservation.operation, reservation.input(game), slices.Clone(reservation.path), header, "7d0d4a3e")
				if distinct := slices.Compact(slices.Clone(ids)); len(distinct) != 1 {
					t.Errorf("%s with %s was answered with the player sessions %v, want one", reservation.operation, header, distinct)
				}
				if n := s.taken(game); n != 1 {
					t.Errorf("%s with %s took %d slots, want 1", reservation.operation, header, n)
				}
			}
		})
	}
}

func TestRequestRepeatedWithoutATokenReservesEachTime(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		for _, reservation := range reservations {
			s := newService(t)
			game := s.newGameSession(10)
			ids := tries(t, w, s, reservation.operation, reservation.input(game), slices.Clone(reservation.path))
			slices.Sort(ids)
			if distinct := slices.Compact(ids); len(distinct) != 5 {
				t.Errorf("%s was answered with the player sessions %v, want five", reservation.operation, distinct)
			}
			if n := s.taken(game); n != 5 {
				t.Errorf("%s took %d slots, want 5", reservation.operation, n)
			}
		}
	})
}

func TestRequestsWithOtherTokensReserveEachTime(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		game := s.newGameSession(10)
		for i := range 5 {
			w.must(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"}, "amz-sdk-invocation-id", fmt.Sprint("call-", i))
		}
		if n := s.taken(game); n != 5 {
			t.Errorf("%d slots are taken, want 5", n)
		}
	})
}

// The SDKs set a new invocation id for each call. Whoever adds an Idempotency-Key means the calls that have it to be one.
func TestIdempotencyKeyOutranksInvocationID(t *testing.T) {
	s := newService(t)
	game := s.newGameSession(10)
	for i := range 2 {
		awsJSON.must(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"},
			"amz-sdk-invocation-id", fmt.Sprint("call-", i), "Idempotency-Key", "same")
	}
	if n := s.taken(game); n != 1 {
		t.Errorf("%d slots are taken, want 1", n)
	}
}

func TestTokenMeansTheSameInEveryProtocol(t *testing.T) {
	s := newService(t)
	game := s.newGameSession(10)
	input := members{"GameSessionId": game, "PlayerId": "alice"}
	first := awsJSON.must(t, s, "CreatePlayerSession", input, "amz-sdk-invocation-id", "7d0d4a3e").text("PlayerSession", "PlayerSessionId")
	second := rpcCBOR.must(t, s, "CreatePlayerSession", input, "amz-sdk-invocation-id", "7d0d4a3e").text("PlayerSession", "PlayerSessionId")
	if first != second {
		t.Errorf("the player sessions are %s and %s, want one", first, second)
	}
}

func TestEveryChangeCanBeRepeatedWithItsToken(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		for _, operation := range []string{
			"CreateLocation", "CreateFleet", "RegisterCompute", "CreateGameSession", "UpdateGameSession",
			"CreatePlayerSession", "CreatePlayerSessions", "AcceptPlayerSession", "RemovePlayerSession", "PlacePlayerSessions",
			"TerminateGameSession", "UpdateFleetAttributes", "CreateFleetLocations", "CreateAlias", "TagResource", "UntagResource",
			"CreateGameSessionQueue", "UpdateGameSessionQueue", "StopGameSessionPlacement",
		} {
			input := s.validInput(operation)
			first := w.must(t, s, operation, input, "amz-sdk-invocation-id", operation)
			again := w.must(t, s, operation, input, "amz-sdk-invocation-id", operation)
			if first.body != again.body {
				t.Errorf("%s answered\n%q\nand then\n%q", operation, first.body, again.body)
			}
		}
	})
}

func TestLostReplyIsRepairedByARetry(t *testing.T) {
	eachWire(t, func(t *testing.T, w wire) {
		s := newService(t)
		game := s.newGameSession(10)
		s.reserve(game) // so that the store has the script, and the reply that gets lost is of a reservation
		call := func() reply {
			return w.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"}, "amz-sdk-invocation-id", "7d0d4a3e")
		}
		s.outage.set(silence)
		if r := call(); r.status != http.StatusInternalServerError || !strings.Contains(r.text("Message"), "may or may not have happened") {
			t.Errorf("without a reply from the store: %d %q", r.status, r.body)
		}
		s.outage.set(none)
		allocatortest.Eventually(t, 20*time.Second, func() bool { return s.taken(game) == 2 }, "the slot is taken, although the reply was lost")
		if r := call(); r.status != http.StatusOK {
			t.Errorf("then: %d %q", r.status, r.body)
		}
		if n := s.taken(game); n != 2 {
			t.Errorf("%d slots are taken, want 2", n)
		}
	})
}
