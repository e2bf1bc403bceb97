package gameserver

import (
	"context"
	"sync"
)

// A queue hands on values in their order. Putting one in never waits.
type queue[T any] struct {
	mu     sync.Mutex
	values []T
	filled chan struct{} // holds one element while a taker may find a value
}

func newQueue[T any]() *queue[T] { return &queue[T]{filled: make(chan struct{}, 1)} }

func (q *queue[T]) put(value T) {
	q.mu.Lock()
	q.values = append(q.values, value)
	q.mu.Unlock()
	q.wake()
}

func (q *queue[T]) wake() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// take waits for a value; it returns false once the context has ended. One goroutine takes.
func (q *queue[T]) take(ctx context.Context) (T, bool) {
	var none T
	for {
		select {
		case <-ctx.Done():
			return none, false
		case <-q.filled:
		}
		if ctx.Err() != nil {
			return none, false
		}
		q.mu.Lock()
		if len(q.values) == 0 {
			q.mu.Unlock()
			continue
		}
		value := q.values[0]
		q.values[0] = none
		q.values = q.values[1:]
		if len(q.values) > 0 {
			q.wake()
		}
		q.mu.Unlock()
		return value, true
	}
}
