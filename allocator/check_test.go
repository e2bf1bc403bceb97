package allocator_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// harbour is a scene that has something of everything that a store can hold.
type harbour struct {
	scene
	game, over                            allocator.GameSessionID // ACTIVE, TERMINATED
	reserved, active, completed, timedOut *allocator.PlayerSession
	outlived                              *allocator.PlayerSession // of the one that is TERMINATED
	fulfilled, stopped, pending           *allocator.Placement
	alias                                 *allocator.Alias
	limited                               allocator.FleetID // limits what creators create, and has server processes
	idle, busy                            *gameServer
	hosted                                allocator.GameSessionID // by the busy one
}

func newHarbour(t testing.TB, store *allocatortest.Store) harbour {
	t.Helper()
	ctx := context.Background()
	h := harbour{scene: newScene(t, store)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h.game, h.over = h.newGameSession(4), h.newGameSession(4)
	h.timedOut = h.reserve(h.game, "late")
	store.Advance(reservationTimeout)
	h.sweep()
	h.completed = h.reserve(h.game, "gone")
	h.accept(h.completed)
	h.remove(h.completed)
	store.Advance(time.Second)
	h.active = h.reserve(h.game, "here")
	h.accept(h.active)
	h.reserved = h.reserve(h.game, "coming")
	h.outlived = h.reserve(h.over, "here")
	_, err := h.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: h.over, Mode: allocator.ForceTerminate})
	must(err)
	h.newQueue("queue", nil, arnHead+"fleet/"+string(h.fleet))
	h.newQueue("nowhere", func(q *allocator.Queue) { q.AllowedLocations = []string{"custom-nowhere"} }, arnHead+"fleet/"+string(h.fleet))
	h.fulfilled = h.placed(allocator.StartGameSessionPlacementInput{
		PlacementID: "placed", QueueName: "queue", MaximumPlayerSessionCount: 2,
		DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "here"}},
	})
	h.placed(allocator.StartGameSessionPlacementInput{PlacementID: "stopped", QueueName: "nowhere", MaximumPlayerSessionCount: 2})
	h.stopped, err = h.StopGameSessionPlacement(ctx, "stopped")
	must(err)
	h.pending = h.placed(allocator.StartGameSessionPlacementInput{PlacementID: "pending", QueueName: "nowhere", MaximumPlayerSessionCount: 2})
	h.alias, err = h.CreateAlias(ctx, allocator.CreateAliasInput{
		Name: "alias", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: h.fleet}, Tags: map[string]string{"a": "b"},
	})
	must(err)
	_, err = h.GetComputeAuthToken(ctx, h.fleet, "box")
	must(err)
	fleet, err := h.CreateFleet(ctx, allocator.CreateFleetInput{
		Name: "limited", Locations: []string{"custom-cellar"}, CreationLimit: allocator.CreationLimit{GameSessionsPerCreator: 9, PeriodMinutes: 9}, Tags: map[string]string{"a": "b"},
	})
	must(err)
	h.limited = fleet.ID
	_, err = h.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: h.limited, Name: "box", Location: "custom-cellar", IPAddress: "192.0.2.8"})
	must(err)
	_, err = h.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: h.limited, MaximumPlayerSessionCount: 1, CreatorID: "creator"})
	must(err)
	_, err = h.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{FleetID: h.limited, PlayerIDs: []string{"here"}, RetryToken: "token"})
	must(err)
	hosted := h.scene
	hosted.fleet = h.limited
	h.busy = hosted.start("busy")
	game, err := h.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: h.limited, MaximumPlayerSessionCount: 1, CreatorID: "creator"})
	must(err)
	h.hosted = game.ID
	h.busy.starts(game.ID)
	must(h.busy.Once(ctx, "request", true, func(context.Context) error { return nil }))
	h.idle = hosted.start("idle")
	must(store.Client().Set(ctx, gameKey("seal", h.game)+":digest", 1, retention).Err()) // as a refused call leaves it
	return h
}

// gameKey is a key of a game session.
func gameKey(kind string, id allocator.GameSessionID) string {
	_, fleetAndName, _ := strings.Cut(string(id), "gamesession/")
	return keyOf(kind, fleetAndName)
}

// processKey is the record of a server process.
func processKey(id allocator.ServerProcessID) string {
	var name []byte
	for _, part := range []string{string(id.FleetID), id.ComputeName, id.ProcessID} {
		name = append(binary.BigEndian.AppendUint32(name, uint32(len(part))), part...)
	}
	digest := sha256.Sum256(name)
	digest[0] = sha256.Sum256([]byte(id.FleetID))[0] // the partition is the fleet's
	return fmt.Sprintf("berth:{%d}:process:%s", digest[0], base64.RawURLEncoding.EncodeToString(digest[:16]))
}

// placementKey is the record of a placement.
func placementKey(p *allocator.Placement) string { return keyOf("placement", p.ID) }

func keyOf(kind, hashed string) string {
	digest := sha256.Sum256([]byte(hashed))
	return fmt.Sprintf("berth:{%d}:%s:%s", digest[0], kind, base64.RawURLEncoding.EncodeToString(digest[:16]))
}

// sibling is another key of the partition of a key.
func sibling(key, rest string) string {
	prefix, _, _ := strings.Cut(key, "}:")
	return prefix + "}:" + rest
}

// refIn is the ref at the end of a key.
func refIn(key string) string { return key[strings.LastIndex(key, ":")+1:] }

// findings checks a store and lists what is found: the kind and the first key.
func (s scene) findings(repair bool) (all []string, checked allocator.Checked) {
	s.t.Helper()
	checked, err := s.Check(context.Background(), repair, func(f allocator.Finding) {
		line := string(f.Kind)
		if len(f.Keys) > 0 {
			line += " " + f.Keys[0]
		}
		if repair && !f.Mended {
			line += " left"
		}
		if !repair && f.Mended {
			line += " mended unasked"
		}
		if f.Problem == "" {
			line += " without a word"
		}
		all = append(all, line)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(all)
	return all, checked
}

func TestCheckFindsNothingInAHealthyStore(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		h := newHarbour(t, store)
		all := func(when string) {
			t.Helper()
			for _, repair := range []bool{false, true} {
				if found, _ := h.findings(repair); len(found) > 0 {
					t.Errorf("%s, repair %v:\n%s", when, repair, strings.Join(found, "\n"))
				}
			}
		}
		all("in use")
		found, checked := h.findings(false)
		want := allocator.Checked{Keys: int(size(t, store)), GameSessions: 5, PlayerSessions: 7, Placements: 3, Findings: len(found)}
		if checked != want {
			t.Errorf("it checked %+v, want %+v", checked, want)
		}

		maximum := 1
		if _, err := h.UpdateGameSession(t.Context(), allocator.UpdateGameSessionInput{GameSessionID: h.game, MaximumPlayerSessionCount: &maximum}); err != nil {
			t.Fatal(err)
		}
		maximum = 0
		if _, err := h.UpdateGameSession(t.Context(), allocator.UpdateGameSessionInput{GameSessionID: h.game, MaximumPlayerSessionCount: &maximum}); err != nil {
			t.Fatal(err)
		}
		all("with more slots taken than there are any more")
		store.Advance(reservationTimeout)
		all("with reservations to be marked")
		store.Advance(retention)
		all("with what is to be purged")
		h.sweep()
		all("swept")
		wantInvariants(t, store, h.Allocator)
	})
}

func TestCheckFindsAndMendsWhatIsBroken(t *testing.T) {
	const control = "berth:{control}:"
	type row struct {
		name  string
		wreck func(h harbour, do func(args ...any))
		want  func(h harbour) []string
		left  bool // nothing can be mended
		seen  bool // by the oracle of the other tests, too, which sees what is left
	}
	one := func(kind string, key func(h harbour) string) func(harbour) []string {
		return func(h harbour) []string { return []string{kind + " " + key(h)} }
	}
	ps := func(p func(harbour) *allocator.PlayerSession) func(harbour) string {
		return func(h harbour) string { return recordKey(p(h).ID) }
	}
	reserved := ps(func(h harbour) *allocator.PlayerSession { return h.reserved })
	active := ps(func(h harbour) *allocator.PlayerSession { return h.active })
	completed := ps(func(h harbour) *allocator.PlayerSession { return h.completed })
	timedOut := ps(func(h harbour) *allocator.PlayerSession { return h.timedOut })
	outlived := ps(func(h harbour) *allocator.PlayerSession { return h.outlived })
	game := func(kind string) func(harbour) string {
		return func(h harbour) string { return gameKey(kind, h.game) }
	}
	over := func(kind string) func(harbour) string {
		return func(h harbour) string { return gameKey(kind, h.over) }
	}
	near := func(key func(harbour) string, rest string) func(harbour) string {
		return func(h harbour) string { return sibling(key(h), rest) }
	}
	placement := func(p func(harbour) *allocator.Placement) func(harbour) string {
		return func(h harbour) string { return placementKey(p(h)) }
	}
	stopped := placement(func(h harbour) *allocator.Placement { return h.stopped })
	pending := placement(func(h harbour) *allocator.Placement { return h.pending })
	fleet := func(rest string) func(harbour) string {
		return func(h harbour) string { return control + "fleet:" + string(h.fleet) + rest }
	}
	limited := func(rest string) func(harbour) string {
		return func(h harbour) string { return control + "fleet:" + string(h.limited) + rest }
	}
	process := func(name string) func(harbour) string {
		return func(h harbour) string {
			return processKey(map[string]*gameServer{"idle": h.idle, "busy": h.busy}[name].ID)
		}
	}
	ofFleet := func(kind string, h harbour) string { return sibling(process("idle")(h), kind+":"+string(h.limited)) }
	idleOnes := func(h harbour) string { return ofFleet("idle", h) + ":custom-cellar" }
	exactly := func(key string) func(harbour) string { return func(harbour) string { return key } }
	alias := func(h harbour) string { return control + "alias:" + string(h.alias.ID) }
	const nobody = "AAAAAAAAAAAAAAAAAAAAAA"

	rows := []row{
		// Slots.
		{name: "a slot of nobody", want: one("stray-entry", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", game("players")(h), "+inf", nobody) }},
		{name: "a reservation without its slot", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZREM", game("players")(h), refIn(reserved(h))) }},
		{name: "a reservation with another deadline", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", game("players")(h), 1, refIn(reserved(h))) }},
		{name: "a reservation that holds its slot for ever", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", game("players")(h), "+inf", refIn(reserved(h))) }},
		{name: "a player without a slot", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZREM", game("players")(h), refIn(active(h))) }},
		{name: "a player whose slot has a deadline", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", game("players")(h), 1<<50, refIn(active(h))) }},
		{name: "a player who has left and holds a slot", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", game("players")(h), "+inf", refIn(completed(h))) }},
		{name: "a reservation that timed out and holds a slot", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", game("players")(h), 1, refIn(timedOut(h))) }},
		{name: "more players than slots", left: true, want: one("oversold", game("players")),
			wreck: func(h harbour, do func(...any)) { do("HSET", game("gs")(h), "max", 1) }},
		{name: "more players than there were ever slots", left: true, want: one("oversold", game("players")),
			wreck: func(h harbour, do func(...any)) { do("HSET", game("gs")(h), "max", 0, "peak", 1) }},

		// Player sessions.
		{name: "a player session that its game session does not list", want: one("slot", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZREM", game("players")(h), refIn(completed(h))) }},
		{name: "a player session that its player does not list", want: one("index", near(game("gs"), "player:gone")),
			wreck: func(h harbour, do func(...any)) { do("DEL", sibling(game("gs")(h), "player:gone")) }},
		{name: "a player session that is listed and not there", want: one("stray-entry", game("players")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", game("players")(h), 0, nobody) }},
		{name: "a player who lists another's", want: one("stray-entry", near(game("gs"), "player:gone")),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(game("gs")(h), "player:gone"), 5, refIn(active(h)))
			}},
		{name: "a player session without its record",
			want: func(h harbour) []string {
				return []string{
					"stray-entry " + gameKey("players", h.game), "stray-entry " + sibling(gameKey("gs", h.game), "player:coming"),
				}
			},
			wreck: func(h harbour, do func(...any)) {
				do("DEL", reserved(h))
				do("DEL", sibling(reserved(h), "ttl:"+refIn(reserved(h))))
			}},
		{name: "a player session that nobody purges", want: one("ended", near(game("gs"), "ended")),
			wreck: func(h harbour, do func(...any)) { do("ZREM", sibling(game("gs")(h), "ended"), refIn(completed(h))) }},
		{name: "a player session that is purged too early", want: one("ended", near(game("gs"), "ended")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", sibling(game("gs")(h), "ended"), 5, refIn(timedOut(h))) }},
		{name: "a player who is here and to be purged", want: one("ended", near(game("gs"), "ended")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", sibling(game("gs")(h), "ended"), 5, refIn(active(h))) }},
		{name: "an end of nobody", want: one("stray-entry", near(game("gs"), "ended")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", sibling(game("gs")(h), "ended"), 5, nobody) }},
		{name: "a player session that ended nobody knows when", want: one("damaged-record", completed),
			wreck: func(h harbour, do func(...any)) { do("HDEL", completed(h), "ended") }},
		{name: "a reservation that nothing sweeps", want: one("deadline", near(game("gs"), "deadlines")),
			wreck: func(h harbour, do func(...any)) {
				do("ZREM", sibling(game("gs")(h), "deadlines"), refIn(game("gs")(h)))
			}},
		{name: "a reservation that is swept too late", want: one("deadline", near(game("gs"), "deadlines")),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(game("gs")(h), "deadlines"), 1<<50, refIn(game("gs")(h)))
			}},
		{name: "a reservation whose expiry nobody hears of",
			want:  func(h harbour) []string { return []string{"expiry " + sibling(reserved(h), "ttl:"+refIn(reserved(h)))} },
			wreck: func(h harbour, do func(...any)) { do("DEL", sibling(reserved(h), "ttl:"+refIn(reserved(h)))) }},
		{name: "a TTL key that does not expire",
			want:  func(h harbour) []string { return []string{"expiry " + sibling(reserved(h), "ttl:"+refIn(reserved(h)))} },
			wreck: func(h harbour, do func(...any)) { do("PERSIST", sibling(reserved(h), "ttl:"+refIn(reserved(h)))) }},
		{name: "a status that there is not", left: true, seen: true, want: one("damaged-record", completed),
			wreck: func(h harbour, do func(...any)) { do("HSET", completed(h), "status", "LOST") }},

		// Game sessions.
		{name: "a game session without its record",
			want: func(h harbour) []string {
				partition := sibling(gameKey("gs", h.game), "")
				return []string{
					"orphan " + active(h), "orphan " + completed(h), "orphan " + reserved(h), "orphan " + timedOut(h),
					"stray-entry " + partition + "deadlines", "stray-entry " + partition + "fleet:" + string(h.fleet), "stray-entry " + partition + "live:" + string(h.fleet),
				}
			},
			wreck: func(h harbour, do func(...any)) { do("DEL", game("gs")(h)) }},
		{name: "a game session that its fleet does not list",
			want: func(h harbour) []string {
				return []string{"index " + sibling(gameKey("gs", h.game), "fleet:"+string(h.fleet))}
			},
			wreck: func(h harbour, do func(...any)) {
				do("ZREM", sibling(gameKey("gs", h.game), "fleet:"+string(h.fleet)), refIn(game("gs")(h)))
			}},
		{name: "a game session that nobody finds room in",
			want: func(h harbour) []string {
				return []string{"index " + sibling(gameKey("gs", h.game), "live:"+string(h.fleet))}
			},
			wreck: func(h harbour, do func(...any)) {
				do("ZREM", sibling(gameKey("gs", h.game), "live:"+string(h.fleet)), refIn(game("gs")(h)))
			}},
		{name: "a game session that is TERMINATED and found",
			want: func(h harbour) []string {
				return []string{"index " + sibling(gameKey("gs", h.over), "live:"+string(h.fleet))}
			},
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(gameKey("gs", h.over), "live:"+string(h.fleet)), 5, refIn(over("gs")(h)))
			}},
		{name: "a game session in two fleets",
			want: func(h harbour) []string {
				return []string{"stray-entry " + sibling(gameKey("gs", h.game), "live:"+string(h.limited))}
			},
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(gameKey("gs", h.game), "live:"+string(h.limited)), 5, refIn(game("gs")(h)))
			}},
		{name: "a game session that nobody purges", want: one("ended", near(over("gs"), "ended_games")),
			wreck: func(h harbour, do func(...any)) {
				do("ZREM", sibling(over("gs")(h), "ended_games"), refIn(over("gs")(h)))
			}},
		{name: "a game session that is purged while it lives", want: one("ended", near(game("gs"), "ended_games")),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(game("gs")(h), "ended_games"), 5, refIn(game("gs")(h)))
			}},
		{name: "an end of no game session", want: one("stray-entry", near(game("gs"), "ended_games")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", sibling(game("gs")(h), "ended_games"), 5, nobody) }},
		{name: "a deadline of no game session", want: one("stray-entry", near(game("gs"), "deadlines")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", sibling(game("gs")(h), "deadlines"), 1<<50, nobody) }},
		{name: "a deadline of a game session that has ended", want: one("deadline", near(over("gs"), "deadlines")),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(over("gs")(h), "deadlines"), 5, refIn(over("gs")(h)))
			}},
		{name: "a deadline that never comes", want: func(h harbour) []string {
			return []string{"deadline " + sibling(gameKey("gs", h.fulfilled.GameSession), "deadlines")}
		},
			wreck: func(h harbour, do func(...any)) {
				p := h.playersOf(h.fulfilled.GameSession, "")[0]
				h.accept(&p)
				do("ZADD", sibling(gameKey("gs", h.fulfilled.GameSession), "deadlines"), "+inf", refIn(gameKey("gs", h.fulfilled.GameSession)))
			}},
		{name: "a termination that nobody finishes", want: one("deadline", near(game("gs"), "deadlines")),
			wreck: func(h harbour, do func(...any)) {
				do("HSET", game("gs")(h), "status", "TERMINATING")
				do("ZREM", sibling(game("gs")(h), "deadlines"), refIn(game("gs")(h)))
			}},
		{name: "a game session that has ended with a player in it", want: one("unended", outlived),
			wreck: func(h harbour, do func(...any)) {
				do("HSET", outlived(h), "status", "ACTIVE")
				do("HDEL", outlived(h), "ended")
				do("ZREM", sibling(outlived(h), "ended"), refIn(outlived(h)))
				do("ZADD", over("players")(h), "+inf", refIn(outlived(h)))
			}},
		{name: "a game session that ended nobody knows when", want: one("damaged-record", over("gs")),
			wreck: func(h harbour, do func(...any)) { do("HDEL", over("gs")(h), "ended") }},
		{name: "a game session with the name of another", left: true, seen: true, want: one("damaged-record", game("gs")),
			wreck: func(h harbour, do func(...any)) { do("HSET", game("gs")(h), "id", "other") }},
		{name: "game sessions of a fleet that is gone",
			want: func(h harbour) []string {
				return []string{"unended " + gameKey("gs", h.game), "unended " + gameKey("gs", h.fulfilled.GameSession)}
			},
			wreck: func(h harbour, do func(...any)) {
				do("DEL", fleet("")(h), fleet(":locations")(h), fleet(":computes")(h), fleet(":computes:custom-cellar")(h), fleet(":compute:box")(h), fleet(":tokens:box")(h))
				do("ZREM", control+"fleets", string(h.fleet))
				do("SREM", control+"location:custom-cellar:fleets", string(h.fleet))
				h.store.Advance(10 * time.Second)
			}},

		// Placements.
		{name: "a placement that nobody tries", want: one("index", near(pending, "pending_placements")),
			wreck: func(h harbour, do func(...any)) { do("DEL", sibling(pending(h), "pending_placements")) }},
		{name: "a placement that has ended and is tried", want: one("index", near(stopped, "pending_placements")),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(stopped(h), "pending_placements"), 5, refIn(stopped(h)))
			}},
		{name: "a placement that is tried and not there", want: one("stray-entry", near(stopped, "pending_placements")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", sibling(stopped(h), "pending_placements"), 5, nobody) }},
		{name: "a placement that nobody purges", want: one("ended", near(stopped, "ended_placements")),
			wreck: func(h harbour, do func(...any)) { do("DEL", sibling(stopped(h), "ended_placements")) }},
		{name: "a placement that is purged while it is tried", want: one("ended", near(pending, "ended_placements")),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(pending(h), "ended_placements"), 5, refIn(pending(h)))
			}},
		{name: "an end of no placement", want: one("stray-entry", near(stopped, "ended_placements")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", sibling(stopped(h), "ended_placements"), 5, nobody) }},
		{name: "a placement that ended nobody knows when", want: one("damaged-record", stopped),
			wreck: func(h harbour, do func(...any)) { do("HDEL", stopped(h), "ended") }},
		{name: "a game session that is kept for a placement and that nobody sees to",
			want: func(h harbour) []string {
				deadlines := "deadline " + sibling(gameKey("gs", h.fulfilled.GameSession), "deadlines")
				return []string{deadlines, deadlines} // of the game session, and of the reservation in it
			},
			wreck: func(h harbour, do func(...any)) {
				do("HSET", gameKey("gs", h.fulfilled.GameSession), "kept_for", "placement 1")
				do("ZREM", sibling(gameKey("gs", h.fulfilled.GameSession), "deadlines"), refIn(gameKey("gs", h.fulfilled.GameSession)))
			}},
		{name: "a placement with the id of another", left: true, want: one("damaged-record", pending),
			wreck: func(h harbour, do func(...any)) { do("HSET", pending(h), "id", "other") }},
		{name: "a note of a place that does not expire", want: func(h harbour) []string { return []string{"expiry " + h.keys("place")[0]} },
			wreck: func(h harbour, do func(...any)) { do("PERSIST", h.keys("place")[0]) }},
		{name: "a seal that does not expire", want: func(h harbour) []string { return []string{"expiry " + gameKey("seal", h.game) + ":digest"} },
			wreck: func(h harbour, do func(...any)) { do("PERSIST", gameKey("seal", h.game)+":digest") }},

		// Server processes.
		{name: "a server process that its fleet does not list", want: one("index", func(h harbour) string { return ofFleet("processes", h) }),
			wreck: func(h harbour, do func(...any)) { do("ZREM", ofFleet("processes", h), refIn(process("idle")(h))) }},
		{name: "a server process that is listed and not there", want: one("stray-entry", func(h harbour) string { return ofFleet("processes", h) }),
			wreck: func(h harbour, do func(...any)) { do("ZADD", ofFleet("processes", h), 5, nobody) }},
		{name: "a server process that is idle and not listed", want: one("index", idleOnes),
			wreck: func(h harbour, do func(...any)) { do("DEL", idleOnes(h)) }},
		{name: "a server process that is busy and listed as idle", want: one("index", idleOnes),
			wreck: func(h harbour, do func(...any)) { do("ZADD", idleOnes(h), 5, refIn(process("busy")(h))) }},
		{name: "a server process that is listed elsewhere", want: one("stray-entry", func(h harbour) string { return ofFleet("idle", h) + ":custom-attic" }),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", ofFleet("idle", h)+":custom-attic", 5, refIn(process("idle")(h)))
			}},
		{name: "a server process that nobody reviews", want: one("deadline", near(process("busy"), "reviews")),
			wreck: func(h harbour, do func(...any)) {
				do("ZREM", sibling(process("busy")(h), "reviews"), refIn(process("busy")(h)))
			}},
		{name: "a server process that is reviewed too late", want: one("deadline", near(process("busy"), "reviews")),
			wreck: func(h harbour, do func(...any)) {
				do("ZADD", sibling(process("busy")(h), "reviews"), 1<<50, refIn(process("busy")(h)))
			}},
		{name: "a server process with the id of another", left: true, want: one("damaged-record", process("idle")),
			wreck: func(h harbour, do func(...any)) { do("HSET", process("idle")(h), "id", "other") }},
		{name: "a game session whose server process is gone", want: func(h harbour) []string {
			return []string{"stray-entry " + ofFleet("processes", h), "stray-entry " + sibling(process("busy")(h), "reviews"), "unended " + gameKey("gs", h.hosted)}
		},
			wreck: func(h harbour, do func(...any)) {
				do("DEL", process("busy")(h))
				h.store.Advance(10 * time.Second)
			}},
		{name: "a game session of which nobody looks whether its server process is there",
			want: func(h harbour) []string { return []string{"deadline " + sibling(gameKey("gs", h.hosted), "deadlines")} },
			wreck: func(h harbour, do func(...any)) {
				h.sweep()
				do("ZADD", sibling(gameKey("gs", h.hosted), "deadlines"), 1<<50, refIn(gameKey("gs", h.hosted)))
			}},
		{name: "a server process without a healthy report", left: true, want: one("damaged-record", process("busy")),
			wreck: func(h harbour, do func(...any)) { do("HDEL", process("busy")(h), "healthy_at") }},
		{name: "an answer that does not expire", want: func(h harbour) []string { return []string{"expiry " + h.keys("answer")[0]} },
			wreck: func(h harbour, do func(...any)) { do("PERSIST", h.keys("answer")[0]) }},

		// The control plane.
		{name: "a fleet that is not listed", want: one("index", exactly(control+"fleets")),
			wreck: func(h harbour, do func(...any)) { do("ZREM", control+"fleets", string(h.fleet)) }},
		{name: "a fleet that is listed and not there", want: one("stray-entry", exactly(control+"fleets")),
			wreck: func(_ harbour, do func(...any)) { do("ZADD", control+"fleets", 5, "fleet-none") }},
		{name: "a fleet nobody knows the age of", left: true, want: one("damaged-record", fleet("")),
			wreck: func(h harbour, do func(...any)) { do("HDEL", fleet("")(h), "created") }},
		{name: "a fleet that its location does not list", want: one("index", exactly(control+"location:custom-cellar:fleets")),
			wreck: func(h harbour, do func(...any)) { do("SREM", control+"location:custom-cellar:fleets", string(h.fleet)) }},
		{name: "a location that lists a fleet without it", want: one("stray-entry", exactly(control+"location:custom-cellar:fleets")),
			wreck: func(_ harbour, do func(...any)) { do("SADD", control+"location:custom-cellar:fleets", "fleet-none") }},
		{name: "a location of a fleet that is not there", want: one("missing-record", exactly(control+"location:custom-attic")),
			wreck: func(h harbour, do func(...any)) {
				h.fleetAt("", "custom-attic")
				do("DEL", control+"location:custom-attic")
				do("ZREM", control+"locations", "custom-attic")
			}},
		{name: "a location that is not listed", want: one("index", exactly(control+"locations")),
			wreck: func(_ harbour, do func(...any)) { do("DEL", control+"locations") }},
		{name: "a compute that its fleet does not list", want: one("index", fleet(":computes")),
			wreck: func(h harbour, do func(...any)) { do("DEL", fleet(":computes")(h)) }},
		{name: "a compute that is not listed at its location", want: one("index", fleet(":computes:custom-cellar")),
			wreck: func(h harbour, do func(...any)) { do("DEL", fleet(":computes:custom-cellar")(h)) }},
		{name: "a compute that is listed elsewhere", want: one("stray-entry", fleet(":computes:custom-attic")),
			wreck: func(h harbour, do func(...any)) { do("ZADD", fleet(":computes:custom-attic")(h), 5, "box") }},
		{name: "a compute without its record",
			want: func(h harbour) []string {
				return []string{"orphan " + fleet(":tokens:box")(h), "stray-entry " + fleet(":computes")(h), "stray-entry " + fleet(":computes:custom-cellar")(h)}
			},
			wreck: func(h harbour, do func(...any)) { do("DEL", fleet(":compute:box")(h)) }},
		{name: "a compute without its location", left: true, want: one("damaged-record", limited(":compute:box")),
			wreck: func(h harbour, do func(...any)) {
				do("HDEL", limited(":compute:box")(h), "location")
				do("DEL", limited(":computes:custom-cellar")(h))
			}},
		{name: "what belonged to a fleet",
			want: func(harbour) (want []string) {
				for _, rest := range []string{"locations", "computes", "computes:l", "compute:c", "creators", "creator:x"} {
					want = append(want, "orphan "+control+"fleet:fleet-none:"+rest)
				}
				return want
			},
			wreck: func(_ harbour, do func(...any)) {
				do("HSET", control+"fleet:fleet-none:compute:c", "created", 5, "location", "l")
				for _, rest := range []string{"locations", "computes", "computes:l", "creators", "creator:x"} {
					do("ZADD", control+"fleet:fleet-none:"+rest, 5, "c")
				}
			}},
		{name: "tokens that do not expire", want: one("expiry", fleet(":tokens:box")),
			wreck: func(h harbour, do func(...any)) { do("PERSIST", fleet(":tokens:box")(h)) }},
		{name: "what a creator created does not expire", want: one("expiry", limited(":creator:creator")),
			wreck: func(h harbour, do func(...any)) { do("PERSIST", limited(":creator:creator")(h)) }},
		{name: "an alias that is not listed", want: one("index", exactly(control+"aliases")),
			wreck: func(_ harbour, do func(...any)) { do("DEL", control+"aliases") }},
		{name: "an alias without its record",
			want: func(h harbour) []string {
				return []string{"orphan " + control + "tags:alias/" + string(h.alias.ID), "stray-entry " + control + "aliases"}
			},
			wreck: func(h harbour, do func(...any)) { do("DEL", alias(h)) }},
		{name: "a queue that is listed otherwise", want: one("index", exactly(control+"queues")),
			wreck: func(_ harbour, do func(...any)) { do("ZADD", control+"queues", 5, "queue") }},
		{name: "a queue that is listed and not there", want: one("stray-entry", exactly(control+"queues")),
			wreck: func(_ harbour, do func(...any)) { do("ZADD", control+"queues", 5, "none") }},
		{name: "tags of what is gone", want: one("orphan", exactly(control+"tags:gamesessionqueue/none")),
			wreck: func(_ harbour, do func(...any)) { do("HSET", control+"tags:gamesessionqueue/none", "a", "b") }},

		// Keys.
		{name: "keys of no kind", left: true, seen: true,
			want: func(harbour) []string {
				return []string{
					"unknown-key berth:", "unknown-key berth:{01}:deadlines", "unknown-key berth:{1}:deadlines:x", "unknown-key berth:{1}:gs", "unknown-key berth:{256}:deadlines",
					"unknown-key berth:{7}:boat:x", "unknown-key berth:{control}:fleet:x:locations:y", "unknown-key berth:{control}:pier", "unknown-key berth:{control}:tags:boat/x",
				}
			},
			wreck: func(_ harbour, do func(...any)) {
				for _, key := range []string{"berth:", "berth:{01}:deadlines", "berth:{256}:deadlines", "berth:{1}:deadlines:x", "berth:{1}:gs", "berth:{7}:boat:x", control + "pier", control + "fleet:x:locations:y"} {
					do("SET", key, "x")
				}
				do("HSET", control+"tags:boat/x", "a", "b")
				do("SET", "ferry", "not ours")
			}},
		{name: "keys in the wrong partition", left: true, seen: true,
			want: func(harbour) []string {
				return []string{"misplaced-key berth:{1}:ps:" + nobody, "misplaced-key berth:{1}:seal:" + nobody + ":x", "misplaced-key berth:{1}:players:short"}
			},
			wreck: func(_ harbour, do func(...any)) {
				do("HSET", "berth:{1}:ps:"+nobody, "status", "ACTIVE")
				do("SET", "berth:{1}:seal:"+nobody+":x", 1)
				do("ZADD", "berth:{1}:players:short", 1, "x")
			}},
		{name: "a key of the wrong type", left: true, seen: true, want: one("wrong-type", near(game("gs"), "deadlines")),
			wreck: func(h harbour, do func(...any)) {
				do("DEL", sibling(game("gs")(h), "deadlines"))
				do("SET", sibling(game("gs")(h), "deadlines"), "x")
			}},
	}
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for i, c := range rows {
			if store.Name() == "cluster" && i%4 > 0 { // that a script's keys share a slot is checked on the others, too
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				flush(t, store)
				h := newHarbour(t, store)
				want := c.want(h)
				slices.Sort(want)
				c.wreck(h, func(args ...any) {
					t.Helper()
					if err := store.Client().Do(t.Context(), args...).Err(); err != nil {
						t.Fatalf("%v: %v", args, err)
					}
				})
				if found, _ := h.findings(false); !slices.Equal(found, want) {
					t.Fatalf("the check finds\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
				}
				found, checked := h.findings(true)
				mended, left := want, []string(nil)
				if c.left {
					mended = nil
					for _, line := range want {
						mended = append(mended, line+" left")
					}
					left = want
				}
				if !slices.Equal(found, mended) || checked.Findings != len(want) || checked.Findings-checked.Mended != len(left) {
					t.Errorf("the repair finds, of %+v,\n%s\nwant\n%s", checked, strings.Join(found, "\n"), strings.Join(mended, "\n"))
				}
				if again, _ := h.findings(false); !slices.Equal(again, left) {
					t.Errorf("after the repair the check finds\n%s\nwant\n%s", strings.Join(again, "\n"), strings.Join(left, "\n"))
				}
				if !c.seen {
					wantInvariants(t, store, h.Allocator)
				}
			})
		}
	})
}

// keys lists the keys of a kind in the partitions.
func (s scene) keys(kind string) (keys []string) {
	s.t.Helper()
	var mu sync.Mutex
	eachServer(s.t, s.store, func(ctx context.Context, server *redis.Client) error {
		found, err := server.Keys(ctx, "berth:{*}:"+kind+":*").Result()
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, found...)
		return err
	})
	slices.Sort(keys)
	return keys
}

func TestCheckGoesOnWhereARecordCannotBeWorkedWith(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		h := newHarbour(t, store)
		damaged, lost := recordKey(h.active.ID), gameKey("players", h.game)
		if err := store.Client().HSet(t.Context(), damaged, "created", " 5 ").Err(); err != nil { // a number to Lua and none to Redis
			t.Fatal(err)
		}
		if err := store.Client().ZRem(t.Context(), lost, refIn(recordKey(h.reserved.ID))).Err(); err != nil {
			t.Fatal(err)
		}
		found, _ := h.findings(true)
		if want := []string{"damaged-record " + damaged + " left", "slot " + lost}; !slices.Equal(found, want) {
			t.Errorf("the repair finds\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestCheckLosesNobody(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		h := newHarbour(t, store)
		ctx, raw := t.Context(), store.Client()
		if err := raw.Del(ctx, gameKey("players", h.game)).Err(); err != nil {
			t.Fatal(err)
		}
		wantCount(t, "slots taken before the repair", h.taken(h.game), 0)
		h.findings(true)
		wantCount(t, "slots taken after it", h.taken(h.game), 2)
		wantCount(t, "player sessions after it", len(h.playersOf(h.game, "")), 4)
		h.accept(h.reserved)
		h.remove(h.active)
		wantInvariants(t, store, h.Allocator)
	})
}

func TestCheckFindsNothingWhileTheStoreIsBusy(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		h := newHarbour(t, store)
		brief := func(c *allocator.Config) { c.ReservationTimeout, c.Retention = 200*time.Millisecond, 2*time.Second }
		a := [2]*allocator.Allocator{open(t, store, brief), open(t, store, brief)}
		ctx, stop := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		for worker := range 6 {
			busy.Go(func() {
				for round := 0; ctx.Err() == nil; round++ {
					h.live(ctx, a[worker%2], fmt.Sprintf("%d-%d", worker, round), round)
				}
			})
		}
		busy.Go(func() {
			for ctx.Err() == nil {
				store.Advance(20 * time.Millisecond)
				_, _ = a[1].Sweep(ctx) // what it cannot do now it does at its next turn
			}
		})
		var most allocator.Checked
		busyEnough := func() bool { // twice what is there without
			return most.GameSessions >= 8 && most.PlayerSessions >= 14 && most.Placements >= 6
		}
		for end := time.Now().Add(2 * time.Second); (time.Now().Before(end) || !busyEnough()) && !t.Failed(); {
			for _, repair := range []bool{false, true} {
				found, checked := h.findings(repair)
				most.GameSessions = max(most.GameSessions, checked.GameSessions)
				most.PlayerSessions = max(most.PlayerSessions, checked.PlayerSessions)
				most.Placements = max(most.Placements, checked.Placements)
				if len(found) > 0 {
					t.Errorf("repair %v:\n%s", repair, strings.Join(found, "\n"))
				}
			}
		}
		stop()
		busy.Wait()
		h.sweep()
		if found, _ := h.findings(false); len(found) > 0 {
			t.Errorf("afterwards:\n%s", strings.Join(found, "\n"))
		}
	})
}

// live does a bit of everything that clients and game servers do.
func (h harbour) live(ctx context.Context, a *allocator.Allocator, name string, round int) {
	in := allocator.CreateGameSessionInput{FleetID: h.fleet, MaximumPlayerSessionCount: 3}
	game, err := a.CreateGameSession(ctx, in)
	if err != nil {
		return
	}
	for i := range 4 { // one too many
		p, err := a.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game.ID, PlayerID: player(i)})
		if err != nil {
			continue
		}
		if i > 0 {
			_ = a.AcceptPlayerSession(ctx, allocator.AcceptPlayerSessionInput{GameSessionID: game.ID, PlayerSessionID: p.ID})
		}
		if i > 1 {
			_ = a.RemovePlayerSession(ctx, allocator.RemovePlayerSessionInput{GameSessionID: game.ID, PlayerSessionID: p.ID})
		}
	}
	maximum := 1
	_, _ = a.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{GameSessionID: game.ID, MaximumPlayerSessionCount: &maximum})
	_, _ = a.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{FleetID: h.fleet, PlayerIDs: []string{name, "friend"}, RetryToken: name})
	_, _ = a.StartGameSessionPlacement(ctx, allocator.StartGameSessionPlacementInput{
		PlacementID: name, QueueName: []string{"queue", "nowhere"}[round%2], MaximumPlayerSessionCount: 2,
		DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "friend"}},
	})
	if p, err := a.StopGameSessionPlacement(ctx, name); err != nil && p == nil {
		placed, err := a.DescribeGameSessionPlacement(ctx, name)
		if err == nil && placed.GameSession != "" {
			_, _ = a.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: placed.GameSession, Mode: allocator.ForceTerminate})
		}
	}
	_, _ = a.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: game.ID, Mode: allocator.ForceTerminate})
	if round%4 == 0 {
		fleet, err := a.CreateFleet(ctx, allocator.CreateFleetInput{Name: name, Locations: []string{"custom-cellar"}, Tags: map[string]string{"a": "b"}})
		if err != nil {
			return
		}
		_, _ = a.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: fleet.ID, Name: name, Location: "custom-cellar", IPAddress: "192.0.2.9"})
		_, _ = a.GetComputeAuthToken(ctx, fleet.ID, name)
		_ = a.DeleteFleet(ctx, fleet.ID)
	}
}

func TestCheckFailsWithTheStore(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		h := newHarbour(t, store)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := h.Check(cancelled, false, func(allocator.Finding) {})
		wantKind(t, "a check that is cancelled", err, allocator.ErrStoreUnavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a check that is cancelled fails with %v", err)
		}
	})
}

func TestOpenStoredOpensOnlyWhatIsThere(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		ctx := t.Context()
		_, err := allocator.OpenStored(ctx, store.NewClient(t))
		wantKind(t, "opening what is not there", err, allocator.ErrNotFound)
		wantCount(t, "keys afterwards", int(size(t, store)), 0)

		open(t, store, func(c *allocator.Config) { c.Region = "moon-south-1" })
		a, err := allocator.OpenStored(ctx, store.NewClient(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Check(ctx, true, func(f allocator.Finding) { t.Error(f) }); err != nil {
			t.Error(err)
		}
		if err := store.Client().HSet(ctx, "berth:{control}:store", "format", "0").Err(); err != nil {
			t.Fatal(err)
		}
		_, err = allocator.OpenStored(ctx, store.NewClient(t))
		wantKind(t, "opening a store of another format", err, allocator.ErrInvalidRequest)
	})
}
