package allocator_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// Callers at once see what they would see one after the other, in some order that agrees with the clock on the wall: the
// history of a game session is linearizable, the passing of time included.

func TestHistoriesOfAGameSessionAreLinearizable(t *testing.T) {
	allocatortest.EachTopology(t, historiesAreLinearizable)
	t.Run("cluster with replicas", func(t *testing.T) { historiesAreLinearizable(t, allocatortest.ClusterRealTime(t)) })
}

func historiesAreLinearizable(t *testing.T, store *allocatortest.Store) {
	s := newScene(t, store)
	allocators := s.pair()
	const histories, clients, actions = 20, 8, 12
	for range histories {
		const room = 3
		game := s.newGameSession(room)
		h := history{began: time.Now()}
		var everyone sync.WaitGroup
		for client := range clients {
			everyone.Go(func() {
				for range actions {
					do := h.randomAction(store.Frozen())
					h.record(client, do, func(do action) outcome { return s.perform(allocators[rand.IntN(2)], game, do) })
				}
			})
		}
		everyone.Wait()
		if !porcupine.CheckOperations(slotsOf(room), h.operations) {
			t.Fatalf("no order of these calls explains their outcomes:\n%s", &h)
		}
	}
}

// action is a call, or a step of the clock.
type action struct {
	kind    string // reserve, accept, remove, count, sweep, advance
	players []string
	id      allocator.PlayerSessionID
	by      time.Duration
}

type outcome struct {
	ids     []allocator.PlayerSessionID // that were reserved
	count   int
	refusal allocator.Kind
}

func (s scene) perform(a *allocator.Allocator, game allocator.GameSessionID, do action) (out outcome) {
	ctx := s.t.Context()
	var err error
	switch do.kind {
	case "reserve":
		if len(do.players) == 1 { // which is a script of its own
			var p *allocator.PlayerSession
			if p, err = a.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: do.players[0]}); err == nil {
				out.ids = append(out.ids, p.ID)
			}
			break
		}
		var group []allocator.PlayerSession
		group, err = a.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: do.players})
		for _, p := range group {
			out.ids = append(out.ids, p.ID)
		}
	case "accept":
		err = a.AcceptPlayerSession(ctx, allocator.AcceptPlayerSessionInput{GameSessionID: game, PlayerSessionID: do.id})
	case "remove":
		err = a.RemovePlayerSession(ctx, allocator.RemovePlayerSessionInput{GameSessionID: game, PlayerSessionID: do.id})
	case "count":
		var read *allocator.DescribeGameSessionsOutput
		if read, err = a.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{GameSessionID: game}); err == nil {
			out.count = read.GameSessions[0].CurrentPlayerSessionCount
		}
	case "sweep":
		_, err = a.Sweep(ctx)
	case "advance":
		s.store.Advance(do.by)
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			out.refusal = kind
		}
	}
	return out
}

// slotsOf is what a game session with so many slots does, as one state after the other.
func slotsOf(room int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return slotState{} },
		Step: func(before, in, out any) (bool, any) {
			return before.(slotState).step(room, in.(action), out.(outcome))
		},
		Equal: func(a, b any) bool {
			return a.(slotState).now == b.(slotState).now && maps.Equal(a.(slotState).holders, b.(slotState).holders)
		},
	}
}

// slotState is a game session and a clock. A holder has the deadline of its slot, never once it is ACTIVE.
type slotState struct {
	now     time.Duration
	holders map[allocator.PlayerSessionID]time.Duration
}

const never = time.Duration(math.MaxInt64)

func (s slotState) step(room int, do action, out outcome) (bool, slotState) {
	after := slotState{now: s.now, holders: maps.Clone(s.holders)}
	deadline, holds := s.holders[do.id]
	switch do.kind {
	case "reserve":
		if len(s.holders)+len(do.players) > room {
			return out.refusal == allocator.ErrGameSessionFull, s
		}
		if after.holders == nil {
			after.holders = make(map[allocator.PlayerSessionID]time.Duration)
		}
		for _, id := range out.ids {
			after.holders[id] = s.now + reservationTimeout
		}
		return out.refusal == "" && len(after.holders) == len(s.holders)+len(do.players), after
	case "accept":
		if !holds || deadline == never {
			return out.refusal == allocator.ErrInvalidPlayerSessionStatus, s
		}
		after.holders[do.id] = never
	case "remove":
		if !holds || deadline != never {
			return out.refusal == allocator.ErrInvalidPlayerSessionStatus, s
		}
		delete(after.holders, do.id)
	case "count":
		return out.refusal == "" && out.count == len(s.holders), s
	case "advance":
		after.now += do.by
		maps.DeleteFunc(after.holders, func(_ allocator.PlayerSessionID, deadline time.Duration) bool { return deadline <= after.now })
	}
	return out.refusal == "", after
}

// history is what happened, as the callers saw it.
type history struct {
	began time.Time

	mu         sync.Mutex
	ids        []allocator.PlayerSessionID
	operations []porcupine.Operation
}

func (h *history) record(client int, do action, perform func(action) outcome) {
	call := time.Since(h.began)
	out := perform(do)
	answer := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids = append(h.ids, out.ids...)
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: client, Input: do, Call: call.Nanoseconds(), Output: out, Return: answer.Nanoseconds(),
	})
}

// randomAction moves the clock only where it stands still; where it runs, a history is over long before any deadline.
func (h *history) randomAction(clockStands bool) action {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := rand.IntN(20)
	switch {
	case n < 7 || len(h.ids) == 0:
		return action{kind: "reserve", players: groupOf(0, 1+rand.IntN(2))}
	case n < 11:
		return action{kind: "accept", id: h.ids[rand.IntN(len(h.ids))]}
	case n < 15:
		return action{kind: "remove", id: h.ids[rand.IntN(len(h.ids))]}
	case n < 18:
		return action{kind: "count"}
	case n < 19 || !clockStands:
		return action{kind: "sweep"}
	}
	return action{kind: "advance", by: reservationTimeout / 2}
}

func (h *history) String() (text string) {
	for _, o := range h.operations {
		text += fmt.Sprintf("%d to %d ns, client %d: %+v: %+v\n", o.Call, o.Return, o.ClientId, o.Input, o.Output)
	}
	return text
}

func TestHistoriesThatCannotBeAreFound(t *testing.T) {
	reserve := action{kind: "reserve", players: []string{"ada"}}
	got := func(ids ...allocator.PlayerSessionID) outcome { return outcome{ids: ids} }
	full := outcome{refusal: allocator.ErrGameSessionFull}
	late := outcome{refusal: allocator.ErrInvalidPlayerSessionStatus}
	type event struct {
		do  action
		out outcome
	}
	for _, c := range []struct {
		name     string
		possible bool
		events   []event
	}{
		{"one slot for one", true, []event{{reserve, got("a")}, {reserve, full}, {action{kind: "count"}, outcome{count: 1}}}},
		{"one slot for two", false, []event{{reserve, got("a")}, {reserve, got("b")}}},
		{"full when it is not", false, []event{{reserve, full}}},
		{"half a group", false, []event{{action{kind: "reserve", players: []string{"ada", "bob"}}, got("a")}}},
		{"a count too high", false, []event{{reserve, got("a")}, {action{kind: "count"}, outcome{count: 2}}}},
		{"accepted twice", false, []event{{reserve, got("a")}, {action{kind: "accept", id: "a"}, outcome{}}, {action{kind: "accept", id: "a"}, outcome{}}}},
		{"accepted at the deadline", false, []event{{reserve, got("a")}, {action{kind: "advance", by: reservationTimeout}, outcome{}}, {action{kind: "accept", id: "a"}, outcome{}}}},
		{"refused at the deadline", true, []event{{reserve, got("a")}, {action{kind: "advance", by: reservationTimeout}, outcome{}}, {action{kind: "accept", id: "a"}, late}}},
		{"a slot freed", true, []event{
			{reserve, got("a")}, {action{kind: "accept", id: "a"}, outcome{}}, {action{kind: "remove", id: "a"}, outcome{}}, {reserve, got("b")},
		}},
		{"a slot not freed", false, []event{
			{reserve, got("a")}, {action{kind: "accept", id: "a"}, outcome{}}, {action{kind: "remove", id: "a"}, outcome{}}, {reserve, full},
		}},
	} {
		var operations []porcupine.Operation
		for i, e := range c.events {
			operations = append(operations, porcupine.Operation{Input: e.do, Output: e.out, Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if got := porcupine.CheckOperations(slotsOf(1), operations); got != c.possible {
			t.Errorf("%s is taken for possible: %v", c.name, got)
		}
	}
}
