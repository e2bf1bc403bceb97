package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestServiceStaysBoundedWhileItsStoreIsAway(t *testing.T) {
	const waiting, calls = 8, 300
	store := allocatortest.RedisRealTime(t)
	p := serve(t, "--redis", store.URL(), "--auto-activate", "--redis-timeout=200ms", "--max-waiting="+strconv.Itoa(waiting))
	game := newGame(t, sdk(p.url()), 1)
	reserve := func(player string) (status int, body string) {
		t.Helper()
		status, body, err := p.call("CreatePlayerSession", fmt.Sprintf(`{"GameSessionId": %q, "PlayerId": %q}`, game, player))
		if err != nil {
			t.Errorf("a call is not answered: %v", err)
		}
		return status, body
	}

	store.Nodes()[0].Freeze()
	var mu sync.Mutex
	unavailable, turnedAway := 0, 0
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := client; i < calls; i += clients {
				status, body := reserve(fmt.Sprint("player-", i))
				mu.Lock()
				switch {
				case status == 500 && strings.Contains(body, "InternalServiceException") && strings.Contains(body, "the store is unavailable"):
					unavailable++
				case status == 400 && strings.Contains(body, "ThrottlingException") && strings.Contains(body, "8 calls wait for the store already"):
					turnedAway++
				default:
					t.Errorf("a call is answered with %d %s", status, body)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("of %d calls %d found the store unavailable and %d were turned away", calls, unavailable, turnedAway)
	if unavailable < waiting || turnedAway == 0 {
		t.Errorf("%d calls found the store unavailable and %d were turned away", unavailable, turnedAway)
	}
	if wrote, err := command(t, "ready", "--addr", p.addr); err == nil {
		t.Errorf("the service is ready: %s", wrote)
	}

	store.Nodes()[0].Thaw()
	allocatortest.Eventually(t, 30*time.Second, func() bool {
		_, err := command(t, "ready", "--addr", p.addr)
		return err == nil
	}, "the service is ready again")
	// The slot may be taken by one of the calls that nobody answered. Nobody needs to do anything for the service to serve.
	if status, body := reserve("late"); status != 200 && !strings.Contains(body, "GameSessionFullException") {
		t.Errorf("then: %d %s", status, body)
	}
	connected, err := strconv.Atoi(store.Client().InfoMap(t.Context(), "clients").Val()["Clients"]["connected_clients"])
	if err != nil || connected > waiting+10 { // and the clockwork, the subscription, and this test
		t.Errorf("the service has opened %d connections (error: %v)", connected, err)
	}
}
