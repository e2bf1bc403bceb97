package allocator_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// Time is that of a bubble here, for the store as for the instances that run in it: it moves on when all of them wait. Nobody is
// notified of anything, so that only the sweep can have a record marked.

func TestNoDeadlineIsMissedByMoreThanPromisedWhileOwnershipMoves(t *testing.T) {
	const (
		turn  = time.Second          // between two heartbeats, and between two sweeps
		crash = 3*time.Second + turn // until the last heartbeat counts no more, and another instance has noticed
	)
	for _, c := range []struct {
		name    string
		promise time.Duration
		happens func(h *handover)
	}{
		{"nothing", turn, func(h *handover) { h.startAll(3) }},
		{"instances join", turn, func(h *handover) { h.startAll(6) }},
		{"instances leave", 2 * turn, func(h *handover) { // since its last sweep, and until the others notice
			for _, leaving := range h.startAll(6)[1:] {
				leaving.stop()
				h.passUnevenly(2 * turn)
			}
		}},
		{"instances die", crash, func(h *handover) {
			for _, dying := range h.startAll(6)[1:] {
				dying.kill()
				h.passUnevenly(crash)
			}
		}},
		{"instances freeze past their heartbeats, and go on", crash, func(h *handover) {
			for _, victim := range h.startAll(4) {
				victim.freeze()
				h.passUnevenly(crash)
				victim.thaw()
				h.passUnevenly(turn)
			}
		}},
		{"all of that at once", crash + turn, func(h *handover) { // one that is frozen may be the heir of one that leaves
			for _, victim := range h.startAll(3) {
				leaving := h.start()
				h.passUnevenly(0)
				victim.freeze()
				leaving.stop()
				joining := h.start()
				h.passUnevenly(crash)
				victim.thaw()
				h.passUnevenly(turn)
				joining.kill()
				h.passUnevenly(crash)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := allocatortest.Redis(t)
			synctest.Test(t, func(t *testing.T) {
				h := newHandover(t, store, c.promise)
				h.start()
				c.happens(h)
				h.pass(handoverTimeout + c.promise)
			})
		})
	}
}

// handoverTimeout is when reservations time out while ownership moves, and handoverStep is how far time moves at a time.
const (
	handoverTimeout = 2 * time.Second
	handoverStep    = 100 * time.Millisecond
)

// handover is a store with instances that come and go, and with reservations whose deadlines pass meanwhile.
type handover struct {
	scene
	t        *testing.T
	promise  time.Duration // by how much the marking of a reservation may miss its deadline
	games    []allocator.GameSessionID
	reserved []*allocator.PlayerSession // that have not been looked at yet, the earliest deadline first
}

func newHandover(t *testing.T, store *allocatortest.Store, promise time.Duration) *handover {
	h := &handover{t: t, promise: promise}
	h.scene = newScene(t, store, func(config *allocator.Config) { config.ReservationTimeout = handoverTimeout })
	for range 100 { // in many partitions
		h.games = append(h.games, h.newGameSession(200))
	}
	return h
}

// passUnevenly lets so much time pass, and up to a second more, so that instances beat and sweep at different times.
func (h *handover) passUnevenly(d time.Duration) {
	h.t.Helper()
	h.pass(d + rand.N(time.Second))
}

// pass lets time pass. In each step instances do what it is time for, and then reservations are made.
func (h *handover) pass(d time.Duration) {
	h.t.Helper()
	for range d / handoverStep {
		time.Sleep(handoverStep) // in the time of the bubble: it passes at once when all wait
		synctest.Wait()
		h.checkMarked()
		h.store.Advance(handoverStep)
		for range 5 {
			h.reserved = append(h.reserved, h.reserve(h.games[rand.IntN(len(h.games))], "ada"))
		}
	}
}

// checkMarked looks into the records of the reservations that must be marked by now.
func (h *handover) checkMarked() {
	h.t.Helper()
	for len(h.reserved) > 0 {
		p := h.reserved[0]
		late := h.store.Now().Sub(p.CreationTime.Add(handoverTimeout))
		if late < h.promise {
			return
		}
		if status := recordStatus(h.t, h.store.Client(), p); status != "TIMEDOUT" {
			h.t.Fatalf("%v after its deadline a reservation in partition %d is %s", late, partitionOf(p.GameSessionID), status)
		}
		h.reserved = h.reserved[1:]
	}
}

// startAll starts so many instances, one after the other.
func (h *handover) startAll(n int) []*instance {
	h.t.Helper()
	all := make([]*instance, n)
	for i := range all {
		all[i] = h.start()
		h.passUnevenly(time.Second)
	}
	return all
}

// start starts an instance.
func (h *handover) start() *instance {
	h.t.Helper()
	i := &instance{turn: make(chan struct{}, 1)}
	i.thaw()
	i.Allocator = open(h.t, h.store, func(config *allocator.Config) {
		config.SweepOnly = true
		i.client = config.Redis
		i.client.AddHook(i)
	})
	i.stop = clockwork(h.t, i.Allocator)
	return i
}

// instance is one that can be killed and frozen. It sends commands one by one, while it has its turn.
type instance struct {
	*allocator.Allocator
	stop   func()
	client redis.UniversalClient
	turn   chan struct{}
}

// kill ends the instance without a farewell.
func (i *instance) kill() {
	i.client.Close()
	i.stop()
}

func (i *instance) freeze() { <-i.turn }
func (i *instance) thaw()   { i.turn <- struct{}{} }

// await returns when the instance is not frozen.
func (i *instance) await(ctx context.Context) error {
	select {
	case <-i.turn:
		i.turn <- struct{}{}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (i *instance) DialHook(next redis.DialHook) redis.DialHook { return next }

func (i *instance) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := i.await(ctx); err != nil {
			return err
		}
		return next(ctx, cmd)
	}
}

func (i *instance) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if err := i.await(ctx); err != nil {
			return err
		}
		return next(ctx, cmds)
	}
}
