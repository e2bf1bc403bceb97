package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoGameSessionIsGivenMoreThanItsSlots(t *testing.T) {
	const use, ahead, slots, takers, times = 3, 2, 7, 8, 200
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var making sync.WaitGroup
		made := 0
		g, err := newGames(ctx, &making, use, ahead, slots, func(context.Context) (string, error) {
			made++
			return fmt.Sprint("game-", made), nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		taken := make(map[string]int)
		var running sync.WaitGroup
		for i := range takers {
			running.Go(func() {
				for range times {
					slots := 1 + i%3
					game, _, err := g.take(ctx, slots)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					taken[game] += slots
					mu.Unlock()
				}
			})
		}
		running.Wait()
		cancel()
		making.Wait()
		for game, n := range taken {
			if n > slots {
				t.Errorf("%d slots of %s were taken, and it has %d", n, game, slots)
			}
		}
	})
}

func TestGameSessionsAreNotFullAllAtATime(t *testing.T) {
	const use, slots = 10, 100
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var making sync.WaitGroup
		var made atomic.Int64
		g, err := newGames(ctx, &making, use, 1, slots, func(context.Context) (string, error) {
			return fmt.Sprint("game-", made.Add(1)), nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 15 {
			synctest.Wait()
			before := made.Load()
			for range use * slots / 10 { // a tenth of all slots
				synctest.Wait()
				if _, _, err := g.take(ctx, 1); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if replaced := made.Load() - before; replaced > 3 {
				t.Errorf("in round %d, %d of %d game sessions were replaced", round, replaced, use)
			}
		}
		cancel()
		making.Wait()
	})
}

func TestFullGameSessionKeepsNobodyFromThoseWithRoom(t *testing.T) {
	g := &games{slots: 2, current: []*room{{"full", 0}, {"free", 2}}, spare: make(chan string)}
	for range 2 {
		if game, _, err := g.take(t.Context(), 1); err != nil || game != "free" {
			t.Errorf("a slot of %q was taken (error: %v)", game, err)
		}
	}
}

func TestSlotThatIsGivenBackIsTakenAgain(t *testing.T) {
	g := &games{slots: 1, current: []*room{{"game", 1}}, spare: make(chan string)}
	for range 3 {
		game, from, err := g.take(t.Context(), 1)
		if err != nil || game != "game" {
			t.Fatalf("a slot of %q was taken (error: %v)", game, err)
		}
		g.give(from)
	}
}

func TestGameSessionsThatCannotBeMadeEndTheRunInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var making sync.WaitGroup
		made := 0
		begin := time.Now()
		g, err := newGames(ctx, &making, 1, 0, 1, func(context.Context) (string, error) {
			if made++; made > 1 {
				return "", errors.New("no more")
			}
			return "game", nil
		}, cancel)
		if err != nil {
			t.Fatal(err)
		}
		g.take(ctx, 1)
		_, _, err = g.take(ctx, 1)
		if cause := context.Cause(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(cause.Error(), "creating game sessions: no more") {
			t.Errorf("the error is %v and its cause %v", err, cause)
		}
		if waited := time.Since(begin); waited < patience {
			t.Errorf("it gave up after %v, want %v", waited, patience)
		}
		making.Wait()
	})
}
