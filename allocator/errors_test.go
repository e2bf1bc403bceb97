package allocator

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// answer is an error that the server gave.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestOutcomeIsKnownOnlyOfWhatWasNeverSentOrRefusedAtOnce(t *testing.T) {
	lost := errors.New("connection reset by peer")
	for _, c := range []struct {
		err  error
		sent int
		kind Kind
	}{
		{lost, 0, ErrStoreUnavailable},
		{lost, 1, ErrOutcomeUnknown},
		{lost, 2, ErrOutcomeUnknown},
		{context.DeadlineExceeded, 0, ErrStoreUnavailable},
		{context.DeadlineExceeded, 1, ErrOutcomeUnknown},
		{answer("LOADING Redis is loading the dataset in memory"), 0, ErrStoreUnavailable},
		{answer("LOADING Redis is loading the dataset in memory"), 1, ErrStoreUnavailable},
		{answer("LOADING Redis is loading the dataset in memory"), 2, ErrOutcomeUnknown},
		{answer("BUSY Redis is busy running a script"), 0, ErrStoreUnavailable}, // of a new connection, on which nothing was sent
		{answer("BUSY Redis is busy running a script"), 1, ErrOutcomeUnknown},   // of a new connection, after an answer was lost
		{fmt.Errorf("pipeline: %w", answer("CLUSTERDOWN Hash slot not served")), 0, ErrStoreUnavailable},
		{answer("WRONGTYPE Operation against a key holding the wrong kind of value"), 0, ErrInternal},
		{answer("WRONGTYPE Operation against a key holding the wrong kind of value"), 1, ErrInternal},
		{answer("ERR Error running script"), 2, ErrInternal},
	} {
		got := storeFailure(c.err, c.sent)
		if got.Kind != c.kind || !errors.Is(got, c.err) {
			t.Errorf("sent %d times, then %q: %q with the cause %v, want %q", c.sent, c.err, got.Kind, got.Cause, c.kind)
		}
	}
}
