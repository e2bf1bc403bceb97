package api_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api"
)

func TestNothingPilesUpWhileTheStoreHangs(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	client := redis.NewClient(&redis.Options{
		Addr: store.Nodes()[0].Addr, ContextTimeoutEnabled: true, PoolSize: 4,
		DialTimeout: 100 * time.Millisecond, ReadTimeout: 100 * time.Millisecond, PoolTimeout: 100 * time.Millisecond,
	})
	defer client.Close()
	a, err := allocator.Open(t.Context(), allocator.Config{Redis: client, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, store: store, Handler: api.New(api.Config{
		Allocator: a, Timeout: 100 * time.Millisecond, MaxWaiting: 20, Logger: slog.New(slog.DiscardHandler),
	})}
	awsJSON.must(t, s, "ListFleets", nil)
	before := runtime.NumGoroutine()

	store.Nodes()[0].Freeze()
	for range 3 {
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				r := awsJSON.call(t, s, "ListFleets", nil)
				unavailable := r.status == http.StatusInternalServerError && strings.Contains(r.text("Message"), "the store is unavailable")
				turnedAway := r.status == http.StatusBadRequest && strings.Contains(r.text("Message"), "20 calls wait for the store already")
				if !unavailable && !turnedAway {
					t.Errorf("%d %s", r.status, r.body)
				}
			})
		}
		calls.Wait()
	}
	allocatortest.Eventually(t, 20*time.Second, func() bool { return runtime.NumGoroutine() <= before+4 }, // one a connection that is being made
		fmt.Sprintf("there are about as many goroutines as the %d before", before))
	store.Nodes()[0].Thaw()
	allocatortest.Eventually(t, 20*time.Second, func() bool { return awsJSON.call(t, s, "ListFleets", nil).status == http.StatusOK }, "calls succeed again")
}

func TestCallBeyondThoseThatMayWaitIsTurnedAwayAtOnce(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	a, err := allocator.Open(t.Context(), allocator.Config{Redis: store.NewClient(t), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	const most = 3
	s := &service{t: t, store: store, Handler: api.New(api.Config{
		Allocator: a, Timeout: time.Minute, MaxWaiting: most, Logger: slog.New(slog.DiscardHandler),
	})}
	store.Nodes()[0].Freeze()
	answers := make(chan reply)
	for range most + 1 {
		go func() { answers <- awsJSON.call(t, s, "ListFleets", nil) }()
	}
	first := <-answers // nobody else is answered while the store hangs
	if first.status != http.StatusBadRequest || first.text("__type") != "ThrottlingException" {
		t.Errorf("the call that was one too many is answered with %d %s", first.status, first.body)
	}
	store.Nodes()[0].Thaw()
	for range most {
		if r := <-answers; r.status != http.StatusOK {
			t.Errorf("a call that waited is answered with %d %s", r.status, r.body)
		}
	}
}
