package bench

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// games are game sessions with room. One that is full is replaced by another, which was made ahead.
type games struct {
	slots int // of each game session
	spare chan string

	mu      sync.Mutex
	current []*room
	next    int
}

// room is what is left of a game session's slots.
type room struct {
	game string
	free int
}

// patience is how long game sessions may fail to be made before that ends the run.
const patience = 10 * time.Second

// newGames makes so many game sessions to use at a time, and further ones ahead, until ctx ends. What keeps it from making them
// for long is given to fail.
func newGames(ctx context.Context, making *sync.WaitGroup, use, ahead, slots int, create func(context.Context) (string, error), fail func(error)) (*games, error) {
	g := &games{slots: slots, spare: make(chan string, ahead)}
	for i := range use {
		game, err := create(ctx)
		if err != nil {
			return nil, fmt.Errorf("creating game sessions: %w", err)
		}
		g.current = append(g.current, &room{game, slots - slots*i/use}) // so that they are not all full at the same time
	}
	for range ahead {
		game, err := create(ctx)
		if err != nil {
			return nil, fmt.Errorf("creating game sessions: %w", err)
		}
		g.spare <- game
	}
	making.Go(func() {
		var failing time.Time // since when
		for ctx.Err() == nil {
			game, err := create(ctx)
			if err == nil {
				failing = time.Time{}
				select {
				case g.spare <- game:
				case <-ctx.Done():
				}
				continue
			}
			if failing.IsZero() {
				failing = time.Now()
			}
			if time.Since(failing) > patience {
				fail(fmt.Errorf("creating game sessions: %w", err))
				return
			}
			select {
			case <-time.After(patience / 100):
			case <-ctx.Done():
			}
		}
	})
	return g, nil
}

// endless is a game session that is never full.
func endless(game string) *games {
	return &games{current: []*room{{game, math.MaxInt}}}
}

// take takes slots of a game session, each in turn. If all are full it waits for one that is made.
func (g *games) take(ctx context.Context, slots int) (game string, from *room, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i, err := g.withRoom(ctx, slots)
	if err != nil {
		return "", nil, err
	}
	g.next = (i + 1) % len(g.current)
	from = g.current[i]
	from.free -= slots
	return from.game, from, nil
}

// withRoom finds a game session with so many free slots, and replaces those that are full as others are ready.
func (g *games) withRoom(ctx context.Context, slots int) (i int, err error) {
	for turn := range g.current {
		i = (g.next + turn) % len(g.current)
		if g.current[i].free >= slots {
			return i, nil
		}
		select {
		case game := <-g.spare:
			g.current[i] = &room{game, g.slots}
			return i, nil
		default:
		}
	}
	select {
	case game := <-g.spare:
		g.current[g.next] = &room{game, g.slots}
		return g.next, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// give gives a slot back that has become free.
func (g *games) give(r *room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.free++
}
