package main

import (
	"crypto/tls"
	"flag"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api/gameserver"
)

// idleServers is how many game servers the test of memory connects.
var idleServers = flag.Int("idle-game-servers", 1000, "how many game servers are connected in the test of memory")

func TestIdleGameServerTakesLittleMemory(t *testing.T) {
	if raceDetector() {
		t.Skip("the race detector takes more memory than what it watches")
	}
	for _, connection := range []struct {
		name  string
		flags []string
		most  int // some more than the README says: other builds differ a little, and it is not known when garbage is collected
	}{
		{"plain", nil, 40_000},
		{"TLS", []string{"--tls-self-signed"}, 70_000},
	} {
		t.Run(connection.name, func(t *testing.T) {
			store := allocatortest.RedisRealTime(t)
			p := serve(t, append([]string{"--redis", store.URL(), "--redis-timeout=20s"}, connection.flags...)...)
			a := newArena(t, p)
			start := func(i int) {
				h, err := a.connect(func(c *gameserver.Config) { c.TLS = &tls.Config{InsecureSkipVerify: true} })
				if err == nil {
					err = h.ProcessReady(t.Context(), 10_000+i, nil)
				}
				if err == nil {
					err = h.Heartbeat(t.Context(), true)
				}
				if err != nil {
					t.Error(err)
				}
			}
			const first = 100 // for what is allocated once
			inParallel(first, start)
			before := p.memory(t)
			inParallel(*idleServers, start)
			a.allIdle(store, first+*idleServers)
			each := (p.memory(t) - before) / *idleServers
			t.Logf("%d idle game servers take %d bytes each", *idleServers, each)
			if each > connection.most {
				t.Errorf("an idle game server takes %d bytes, want %d at most", each, connection.most)
			}
			quiet(t, p)
		})
	}
}

// raceDetector is whether the tests, and the instances that they start, are built with the race detector.
func raceDetector() bool {
	built, _ := debug.ReadBuildInfo()
	return built != nil && slices.Contains(built.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
