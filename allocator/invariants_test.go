package allocator_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// contents is all that a store holds in its partitions, read key by key from the servers: what the section Keys of the
// package comment says is there.
type contents struct {
	now    int64 // ms
	hashes map[place]map[string]string
	sets   map[place]map[string]float64
	ttls   map[place]bool
	alien  []string // keys that should not be there
}

// place is where a key belongs: {partition, kind, ref or name}.
type place struct{ partition, kind, name string }

func (p place) of(kind, name string) place { return place{p.partition, kind, name} }

var (
	partitionKey = regexp.MustCompile(`(?s)^berth:\{(\d+)\}:(gs|players|ps|ttl|player|fleet|live|placement|place|seal|process|processes|idle|gone|answer):(.+)$`)
	indexKey     = regexp.MustCompile(`^berth:\{(\d+)\}:(deadlines|ended|ended_games|pending_placements|ended_placements|reviews|attendance)$`)
)

// contentsOf reads a store that nobody changes meanwhile.
func contentsOf(t rapid.TB, store *allocatortest.Store) contents {
	t.Helper()
	c := contents{
		now:    store.Now().UnixMilli(),
		hashes: make(map[place]map[string]string),
		sets:   make(map[place]map[string]float64),
		ttls:   make(map[place]bool),
	}
	var mu sync.Mutex
	eachServer(t, store, func(ctx context.Context, server *redis.Client) error {
		keys, err := server.Keys(ctx, "*").Result()
		if err != nil {
			return err
		}
		hashes := make(map[place]*redis.MapStringStringCmd)
		sets := make(map[place]*redis.ZSliceCmd)
		_, err = server.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range keys {
				at := place{}
				if match := partitionKey.FindStringSubmatch(key); match != nil {
					at = place{match[1], match[2], match[3]}
				} else if match := indexKey.FindStringSubmatch(key); match != nil {
					at = place{match[1], match[2], ""}
				}
				switch at.kind {
				case "gs", "ps", "placement", "process":
					hashes[at] = pipe.HGetAll(ctx, key)
				case "ttl":
					c.ttls[at] = true
				case "place", "seal", "answer", "gone", "attendance": // notes that expire by themselves
				case "":
					if !strings.HasPrefix(key, "berth:{control}:") {
						c.alien = append(c.alien, key)
					}
				default:
					sets[at] = pipe.ZRangeWithScores(ctx, key, 0, -1)
				}
			}
			return nil
		})
		mu.Lock()
		defer mu.Unlock()
		for at, cmd := range hashes {
			c.hashes[at] = cmd.Val()
		}
		for at, cmd := range sets {
			c.sets[at] = make(map[string]float64)
			for _, z := range cmd.Val() {
				c.sets[at][z.Member.(string)] = z.Score
			}
		}
		return err
	})
	return c
}

// takenOf counts the slots of a game session that are taken, by the records of its player sessions alone.
func (c contents) takenOf(game place) (n int) {
	for at, record := range c.hashes {
		if at.kind == "ps" && at.partition == game.partition && record["game_session"] == game.name &&
			(record["status"] == "ACTIVE" || record["status"] == "RESERVED" && number(record["deadline"]) > float64(c.now)) {
			n++
		}
	}
	return n
}

// gameSessions lists where the game sessions are kept, by their ids.
func (c contents) gameSessions() map[allocator.GameSessionID]place {
	games := make(map[allocator.GameSessionID]place)
	for at, record := range c.hashes {
		if at.kind == "gs" {
			games[gameSessionID(allocator.FleetID(record["fleet"]), record["id"])] = at
		}
	}
	return games
}

// playerSessions lists the ids of the player sessions.
func (c contents) playerSessions() (ids []allocator.PlayerSessionID) {
	for at := range c.hashes {
		if at.kind == "ps" {
			id, _ := uuidOf(at.name)
			ids = append(ids, allocator.PlayerSessionID("psess-"+id.String()))
		}
	}
	slices.Sort(ids)
	return ids
}

// violations says what is wrong in the store by itself: everything that is related to something else is so in both
// directions, and the invariants hold that need no history: 6, and 8 but for what is due in the next sweep.
func (c contents) violations() (wrong []string) {
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, key := range c.alien {
		report("%q is a key of no kind", key)
	}
	for at, record := range c.hashes {
		if id, err := uuidOf(at.name); err != nil || strconv.Itoa(int(id[0])) != at.partition {
			report("%v is in another partition than its ref says", at)
		}
		switch at.kind {
		case "gs":
			if created := c.sets[at.of("fleet", record["fleet"])][at.name]; created != number(record["created"]) {
				report("game session %v was created at %s and its fleet lists it at %.0f", at, record["created"], created)
			}
			if _, listed := c.sets[at.of("live", record["fleet"])][at.name]; listed != isLive(record) {
				report("game session %v is %s and listed as live: %v", at, record["status"], listed)
			}
		case "process":
			if registered := c.sets[at.of("processes", record["fleet"])][at.name]; registered != number(record["registered"]) {
				report("server process %v registered at %s and its fleet lists it at %.0f", at, record["registered"], registered)
			}
			if _, listed := c.sets[at.of("idle", record["fleet"]+":"+record["location"])][at.name]; listed != isIdle(record) {
				report("server process %v is %v and listed as idle: %v", at, record, listed)
			}
			if _, listed := c.sets[at.of("reviews", "")][at.name]; !listed {
				report("server process %v is not listed to be reviewed", at)
			}
		case "ps":
			c.playerSessionViolations(at, record, report)
		case "placement":
			_, pending := c.sets[at.of("pending_placements", "")][at.name]
			ended, listed := c.sets[at.of("ended_placements", "")][at.name]
			if over := record["status"] != "PENDING"; pending == over || listed != over || over && ended != number(record["ended"]) {
				report("placement %v is %s; listed as pending: %v, as ended at %s: %v", at, record["status"], pending, record["ended"], listed)
			}
		}
	}
	for at, set := range c.sets {
		if len(set) == 0 {
			report("%v is empty", at)
		}
		for member, score := range set {
			is := false
			switch at.kind {
			case "fleet":
				is = c.hashes[at.of("gs", member)]["fleet"] == at.name
			case "live":
				game := c.hashes[at.of("gs", member)]
				is = game["fleet"] == at.name && isLive(game)
			case "processes":
				is = c.hashes[at.of("process", member)]["fleet"] == at.name
			case "idle":
				record := c.hashes[at.of("process", member)]
				is = record["fleet"]+":"+record["location"] == at.name && isIdle(record)
			case "reviews":
				is = c.hashes[at.of("process", member)] != nil
			case "ended_games":
				is = number(c.hashes[at.of("gs", member)]["ended"]) == score
			case "deadlines":
				is = c.hashes[at.of("gs", member)] != nil
			case "pending_placements", "ended_placements":
				is = c.hashes[at.of("placement", member)] != nil
			case "player":
				is = c.hashes[at.of("ps", member)]["player"] == at.name
			case "ended":
				is = number(c.hashes[at.of("ps", member)]["ended"]) == score
			case "players":
				record := c.hashes[at.of("ps", member)]
				is = record["game_session"] == at.name && standing(record) == score
			}
			if !is {
				report("%v has %s at %v, where it does not belong", at, member, score)
			}
		}
	}
	for at := range c.ttls {
		record := c.hashes[at.of("ps", at.name)]
		if record["status"] == "RESERVED" || number(record["deadline"]) == float64(c.now) {
			continue // the server may keep the key for the millisecond of the deadline
		}
		report("%v is there for a player session that is %s", at, record["status"])
	}
	return wrong
}

// isLive tells whether a game session has not ended.
func isLive(game map[string]string) bool {
	return game["status"] == "ACTIVATING" || game["status"] == "ACTIVE" || game["status"] == "TERMINATING"
}

// isIdle tells whether a server process may be given a game session.
func isIdle(process map[string]string) bool {
	return process["status"] == "ACTIVE" && process["ready"] != "" && process["connection"] != "" &&
		process["unhealthy"] == "" && process["game"] == "" && process["terminate_at"] == ""
}

// standing is what a game session must have of a player session.
func standing(record map[string]string) float64 {
	switch record["status"] {
	case "RESERVED":
		return number(record["deadline"])
	case "ACTIVE":
		return math.Inf(1)
	}
	return 0
}

func (c contents) playerSessionViolations(at place, record map[string]string, report func(string, ...any)) {
	game := record["game_session"]
	byPlayer := at.of("player", record["player"])
	if created := c.sets[byPlayer][at.name]; created != number(record["created"]) {
		report("player session %v was created at %s and %v lists it at %.0f", at, record["created"], byPlayer, created)
	}
	if _, listed := c.sets[at.of("players", game)][at.name]; !listed {
		report("player session %v is not listed by its game session", at)
	}
	if c.hashes[at.of("gs", game)] == nil {
		report("player session %v is of no game session", at)
	}
	ended, inEnded := c.sets[at.of("ended", "")][at.name]
	ttl := c.ttls[at.of("ttl", at.name)]
	deadline := number(record["deadline"])
	switch status := record["status"]; status {
	case "RESERVED":
		if earliest, listed := c.sets[at.of("deadlines", "")][game]; !listed || earliest > deadline {
			report("the deadline of RESERVED %v is %.0f, in the partition %.0f", at, deadline, earliest)
		}
		if !ttl && deadline > float64(c.now) {
			report("RESERVED %v has no TTL key", at)
		}
		if inEnded {
			report("RESERVED %v is listed as ended", at)
		}
	case "ACTIVE":
		if inEnded {
			report("ACTIVE %v is listed as ended", at)
		}
	case "COMPLETED", "TIMEDOUT":
		if !inEnded || ended != number(record["ended"]) {
			report("%s %v ended at %s, among the ended at %.0f", status, at, record["ended"], ended)
		}
	default:
		report("player session %v has the status %q", at, status)
	}
}

// retained lists the player sessions whose retention is over and of which there is something left all the same.
func (c contents) retained(retention time.Duration) (left []string) {
	limit := float64(c.now - retention.Milliseconds())
	for at, record := range c.hashes {
		if at.kind != "ps" {
			continue
		}
		if record["ended"] != "" && number(record["ended"]) <= limit || record["status"] == "RESERVED" && number(record["deadline"]) <= limit {
			left = append(left, fmt.Sprintf("%v: %v", at, record))
		}
	}
	return left
}

// partitionOf is the first byte of the hash of a game session's id.
func partitionOf(id allocator.GameSessionID) int {
	_, fleetAndName, _ := strings.Cut(string(id), "gamesession/")
	return int(sha256.Sum256([]byte(fleetAndName))[0])
}

// recordKey is where the record of a player session is.
func recordKey(id allocator.PlayerSessionID) string {
	parsed := uuid.MustParse(strings.TrimPrefix(string(id), "psess-"))
	return fmt.Sprintf("berth:{%d}:ps:%s", parsed[0], base64.RawURLEncoding.EncodeToString(parsed[:]))
}

// uuidOf returns the 16 bytes of a ref.
func uuidOf(ref string) (uuid.UUID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(ref)
	if err != nil {
		return uuid.Nil, err
	}
	return uuid.FromBytes(raw)
}

func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// wantInvariants checks what can be seen in the store itself, and that CurrentPlayerSessionCount is what the records of
// the player sessions say (invariant 2).
func wantInvariants(t rapid.TB, store *allocatortest.Store, a *allocator.Allocator) contents {
	t.Helper()
	c := contentsOf(t, store)
	for _, violation := range c.violations() {
		t.Error(violation)
	}
	for id, at := range c.gameSessions() {
		out, err := a.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{GameSessionID: id})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := out.GameSessions[0].CurrentPlayerSessionCount, c.takenOf(at); got != want {
			t.Errorf("%s has the CurrentPlayerSessionCount %d, but %d of its player sessions hold a slot", id, got, want)
		}
	}
	return c
}
