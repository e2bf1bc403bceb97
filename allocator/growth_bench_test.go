package allocator_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// BenchmarkGrowth measures what a reservation costs the more there is: game sessions, live player sessions, ended ones, instances,
// masters. Each point of a curve has a store of its own, and all are measured in turn: the CPU time for a reservation, in µs, that
// all servers of the store use up and that the process does, the ratio of their sum to that of the first point, and how many times what
// a yardstick takes of the same servers it is, a script of two HSET and two EXPIRE: the larger the data, the more each command waits
// for memory. All are medians of the rounds.
//
// Each instance has as many callers at each point, and so does each master: of fewer callers, fewer share a pipeline.
//
//	go test ./allocator -run '^$' -bench Growth -benchtime 11x -timeout 1h
func BenchmarkGrowth(b *testing.B) {
	b.Run("games", func(b *testing.B) {
		var curve curve
		for _, games := range []int{1, 100, 10_000, 100_000} {
			s := growing(b, allocatortest.RedisRealTime(b))
			curve.add(s, fmt.Sprint(games), s.newGameSessions(games))
		}
		curve.measure(b)
	})
	b.Run("live", func(b *testing.B) {
		var curve curve
		for _, live := range []int{10_000, 100_000, 1_000_000} { // with one in each game session, to be warm; games/1 begins with one in all
			s := growing(b, allocatortest.RedisRealTime(b))
			games := s.newGameSessions(10_000)
			s.reserveIn(games, live-len(games))
			curve.add(s, fmt.Sprint(live), games)
		}
		curve.measure(b)
	})
	b.Run("ended", func(b *testing.B) {
		var curve curve
		for _, ended := range []int{0, 100_000, 1_000_000} {
			s := growing(b, allocatortest.RedisRealTime(b))
			games, past := s.newGameSessions(1000), s.newGameSessions(ended/200)
			s.end(s.reserveIn(games, ended/2)) // in game sessions that go on
			s.reserveIn(past, ended/2)         // and in some that have ended
			inParallel(benchCallers, len(past), func(i int) { s.terminate(past[i]) })
			curve.add(s, fmt.Sprint(ended), games)
		}
		curve.measure(b)
	})
	b.Run("instances", func(b *testing.B) {
		var curve curve
		for _, instances := range []int{1, 2, 4, 8} {
			s := growing(b, allocatortest.RedisRealTime(b))
			at := curve.add(s, fmt.Sprint(instances), s.newGameSessions(100))
			for range instances - 1 {
				at.instances = append(at.instances, open(b, s.store, ample))
			}
			at.callers *= instances
			for _, instance := range at.instances {
				clockwork(b, instance)
			}
		}
		curve.measure(b)
	})
	b.Run("masters", func(b *testing.B) {
		var curve curve
		for _, store := range []*allocatortest.Store{allocatortest.RedisRealTime(b), allocatortest.MastersRealTime(b)} {
			s, masters := growing(b, store), len(store.Nodes())
			curve.add(s, fmt.Sprint(masters), s.newGameSessions(1000)).callers *= masters
		}
		curve.measure(b)
	})
}

const (
	benchCallers = 64
	benchCalls   = 60 // of each caller in a round
)

// ample is a configuration in which no reservation is refused or times out.
func ample(config *allocator.Config) {
	config.MaxPlayerSessions, config.ReservationTimeout = 1<<30, 24*time.Hour
}

func growing(b *testing.B, store *allocatortest.Store) scene { return newScene(b, store, ample) }

func (s scene) newGameSessions(n int) []allocator.GameSessionID {
	games := make([]allocator.GameSessionID, n)
	inParallel(benchCallers, n, func(i int) { games[i] = s.newGameSession(1 << 30) })
	return games
}

// reserveIn makes n reservations that are spread over game sessions.
func (s scene) reserveIn(games []allocator.GameSessionID, n int) []*allocator.PlayerSession {
	reserved := make([]*allocator.PlayerSession, n)
	inParallel(benchCallers, n, func(i int) { reserved[i] = s.reserve(games[i%len(games)], player(i)) })
	return reserved
}

// end lets players come and go.
func (s scene) end(players []*allocator.PlayerSession) {
	inParallel(benchCallers, len(players), func(i int) {
		s.accept(players[i])
		s.remove(players[i])
	})
}

// curve is the points that are compared.
type curve []*growthPoint

type growthPoint struct {
	scene
	name      string
	games     []allocator.GameSessionID
	instances []*allocator.Allocator
	callers   int
	rounds    int

	inStore, inProcess, yardstick []float64 // µs of CPU time for each call, of each round
}

func (c *curve) add(s scene, name string, games []allocator.GameSessionID) *growthPoint {
	p := &growthPoint{scene: s, name: name, games: games, instances: []*allocator.Allocator{s.Allocator}, callers: benchCallers}
	*c = append(*c, p)
	if err := yardstick.Load(context.Background(), s.store.Client()).Err(); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (c curve) measure(b *testing.B) {
	for _, p := range c {
		for _, instance := range p.instances {
			inParallel(benchCallers, len(p.games), func(i int) { // so that it knows all game sessions
				(scene{instance, b, p.store, p.fleet}).reserve(p.games[i], "first")
			})
		}
	}
	for b.Loop() {
		for _, p := range c {
			p.round()
		}
	}
	for _, p := range c {
		ratios, yardsticks := make([]float64, len(p.inStore)), make([]float64, len(p.inStore))
		for i := range ratios {
			ratios[i] = (p.inStore[i] + p.inProcess[i]) / (c[0].inStore[i] + c[0].inProcess[i])
			yardsticks[i] = p.inStore[i] / p.yardstick[i]
		}
		b.ReportMetric(median(p.inStore), p.name+"-store-µs")
		b.ReportMetric(median(p.inProcess), p.name+"-process-µs")
		b.ReportMetric(median(ratios), p.name+"-ratio")
		b.ReportMetric(median(yardsticks), p.name+"-yardsticks")
	}
	b.ReportMetric(0, "ns/op") // a round of all points, which says nothing
}

// round makes reservations in game sessions at random, and then measures the yardstick.
func (p *growthPoint) round() {
	p.rounds++
	calls := p.callers * benchCalls
	store, process := p.cpuOfStore(), cpuOfProcess()
	inParallel(p.callers, calls, func(i int) {
		_, err := p.instances[i%len(p.instances)].CreatePlayerSession(context.Background(), allocator.CreatePlayerSessionInput{
			GameSessionID: p.games[rand.IntN(len(p.games))], PlayerID: fmt.Sprint(p.rounds, "-", i),
		})
		if err != nil {
			p.t.Error(err)
		}
	})
	p.inProcess = append(p.inProcess, (cpuOfProcess()-process)/float64(calls))
	before := store
	store = p.cpuOfStore()
	p.inStore = append(p.inStore, (store-before)/float64(calls))

	client := p.store.Client()
	for i := range benchCalls {
		_, err := client.Pipelined(context.Background(), func(pipe redis.Pipeliner) error {
			for j := range p.callers {
				id := fmt.Sprint(p.rounds, "-", i, "-", j)
				tag := fmt.Sprintf("{%d}:", rand.IntN(256))
				yardstick.EvalSha(context.Background(), pipe, []string{tag + "a:" + id, tag + "b:" + id}, id, "player-"+id)
			}
			return nil
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	p.yardstick = append(p.yardstick, (p.cpuOfStore()-store)/float64(calls))
}

// cpuOfStore is what all its servers have used up, in µs.
func (p *growthPoint) cpuOfStore() (sum float64) {
	for _, node := range p.store.Nodes() {
		info, err := node.Client().InfoMap(context.Background(), "cpu").Result()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
			var seconds float64
			if _, err := fmt.Sscan(info["CPU"][field], &seconds); err != nil {
				p.t.Fatal(err)
			}
			sum += seconds * 1e6
		}
	}
	return sum
}

func cpuOfProcess() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1000
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}
