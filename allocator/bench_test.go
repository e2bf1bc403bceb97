package allocator_test

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// yardstick is what a script that keeps two small records costs at least.
var yardstick = redis.NewScript(`
	redis.call('HSET', KEYS[1], 'a', ARGV[1], 'b', ARGV[2])
	redis.call('HSET', KEYS[2], 'a', ARGV[1], 'b', ARGV[2])
	redis.call('EXPIRE', KEYS[1], 86400)
	redis.call('EXPIRE', KEYS[2], 86400)
	return 1`)

// BenchmarkScripts measures what the store itself spends on a script call, as INFO commandstats counts it, in µs: the scripts
// of a player session's life, beside a yardstick of two HSET and two EXPIRE. All alternate on one server.
//
//	go test ./allocator -run '^$' -bench Scripts
func BenchmarkScripts(b *testing.B) {
	store := allocatortest.RedisRealTime(b)
	ctx, client := b.Context(), store.Client().(*redis.Client)
	slots, err := allocator.Open(ctx, allocator.Config{Redis: client, AutoActivate: true, MaxPlayerSessions: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	var games []allocator.GameSessionID
	fleet := newFleetForBenchmark(b, slots)
	for range 1000 {
		game, err := slots.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: fleet, MaximumPlayerSessionCount: 1 << 20})
		if err != nil {
			b.Fatal(err)
		}
		games = append(games, game.ID)
	}

	const block, group = 1000, 25
	var yard, reserve, accept, remove, reserveGroup storeTime
	sessions := make([]*allocator.PlayerSession, block)
	round := 0
	for b.Loop() {
		round++
		yard.add(b, client, block, func(i int) error {
			id := fmt.Sprint(round, "-", i)
			return yardstick.Run(ctx, client, []string{"{y}:a:" + id, "{y}:b:" + id}, id, "player-"+id).Err()
		})
		reserve.add(b, client, block, func(i int) (err error) {
			sessions[i], err = slots.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{
				GameSessionID: games[i%len(games)], PlayerID: fmt.Sprint("player-", round, "-", i),
			})
			return err
		})
		accept.add(b, client, block, func(i int) error {
			return slots.AcceptPlayerSession(ctx, allocator.AcceptPlayerSessionInput{
				GameSessionID: sessions[i].GameSessionID, PlayerSessionID: sessions[i].ID,
			})
		})
		remove.add(b, client, block/2, func(i int) error {
			return slots.RemovePlayerSession(ctx, allocator.RemovePlayerSessionInput{
				GameSessionID: sessions[i].GameSessionID, PlayerSessionID: sessions[i].ID,
			})
		})
		reserveGroup.add(b, client, block/group, func(i int) error {
			players := make([]string, group)
			for j := range players {
				players[j] = fmt.Sprint("group-", round, "-", i, "-", j)
			}
			_, err := slots.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{GameSessionID: games[i%len(games)], PlayerIDs: players})
			return err
		})
	}
	for name, of := range map[string]storeTime{
		"yardstick": yard, "reserve": reserve, "accept": accept, "remove": remove, "reserve-25": reserveGroup,
	} {
		b.ReportMetric(of.mean(), name+"-µs")
	}
}

func newFleetForBenchmark(b *testing.B, slots *allocator.Allocator) allocator.FleetID {
	b.Helper()
	ctx := b.Context()
	if _, err := slots.CreateLocation(ctx, allocator.CreateLocationInput{Name: "custom-bench"}); err != nil {
		b.Fatal(err)
	}
	fleet, err := slots.CreateFleet(ctx, allocator.CreateFleetInput{Name: "bench", Locations: []string{"custom-bench"}})
	if err != nil {
		b.Fatal(err)
	}
	_, err = slots.RegisterCompute(ctx, allocator.RegisterComputeInput{
		FleetID: fleet.ID, Name: "host", Location: "custom-bench", IPAddress: "127.0.0.1",
	})
	if err != nil {
		b.Fatal(err)
	}
	return fleet.ID
}

// storeTime adds up what the store spent on script calls.
type storeTime struct{ calls, micros int }

var scriptStats = regexp.MustCompile(`cmdstat_evalsha:calls=\d+,usec=(\d+)`)

// add makes calls from several goroutines, as a busy service does, and adds what the store spent on them.
func (s *storeTime) add(b *testing.B, client *redis.Client, calls int, call func(int) error) {
	b.Helper()
	const callers = 20
	before := scriptTime(b, client)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := caller; i < calls; i += callers {
				if err := call(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	s.micros += scriptTime(b, client) - before
	s.calls += calls
}

func (s *storeTime) mean() float64 { return float64(s.micros) / float64(max(s.calls, 1)) }

// scriptTime is what the store has spent on scripts since it started, in µs.
func scriptTime(b *testing.B, client *redis.Client) int {
	b.Helper()
	found := scriptStats.FindStringSubmatch(client.Info(b.Context(), "commandstats").Val())
	if found == nil {
		return 0
	}
	micros, err := strconv.Atoi(found[1])
	if err != nil {
		b.Fatal(err)
	}
	return micros
}
