package allocator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Kind says what sort of failure an [Error] is. The kinds are a closed set; compare with errors.Is:
//
//	if errors.Is(err, allocator.ErrGameSessionFull) { … }
type Kind string

// Error returns the kind in words.
func (k Kind) Error() string { return string(k) }

// The kinds of failure. None of them stands for another: a store that cannot be asked is never "full", and a
// change of which nobody knows whether it happened is never "unavailable".
const (
	ErrInvalidRequest              Kind = "invalid request"
	ErrUnauthorized                Kind = "unauthorized"
	ErrNotFound                    Kind = "not found"
	ErrConflict                    Kind = "conflict"
	ErrIdempotentParameterMismatch Kind = "idempotent parameter mismatch"
	ErrGameSessionFull             Kind = "game session full"
	ErrInvalidGameSessionStatus    Kind = "invalid game session status"
	ErrInvalidPlayerSessionStatus  Kind = "invalid player session status"
	ErrInvalidFleetStatus          Kind = "invalid fleet status"
	ErrFleetCapacityExceeded       Kind = "fleet capacity exceeded"
	ErrLimitExceeded               Kind = "limit exceeded"
	ErrTerminalRoutingStrategy     Kind = "terminal routing strategy"
	ErrStoreUnavailable            Kind = "store unavailable"
	ErrOutcomeUnknown              Kind = "outcome unknown"
	ErrInternal                    Kind = "internal"
)

// isRefusal tells whether the kind is an answer to what was asked, rather than a failure of the store or of ours.
func (k Kind) isRefusal() bool {
	return k != ErrStoreUnavailable && k != ErrOutcomeUnknown && k != ErrInternal
}

// Error is what every operation of this package fails with.
type Error struct {
	Kind    Kind   // one of the Err constants
	Message string // for the caller: what is wrong and what to do about it
	Cause   error  // for the log; may be nil
}

// Error returns the message, and the cause when there is one.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap makes errors.Is and errors.As see the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

func failure(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// refusals are the error replies with which a Redis server turns a command away before it ran. Any other error
// reply means that a script and the data it found do not fit together.
var refusals = []string{
	"ASK", "CLUSTERDOWN", "EXECABORT", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN", "UNKILLABLE",
}

// denials are refusals that may be of a connection, while the command was sent through another one before.
var denials = []string{"BUSY", "ERR max number of clients", "MAXCLIENTS", "NOAUTH", "NOPERM", "WRONGPASS"}

// temporary are the refusals after which go-redis tries a command again.
var temporary = []string{"CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN", "ERR max number of clients"}

// storeFailure gives what go-redis failed with its kind. sent is how often a change was sent to a server; it is 0 for what
// only reads. A change surely did not happen if it was never sent, or sent once and refused. If go-redis sent it again,
// its error is about the last time and nobody knows about those before.
func storeFailure(err error, sent int) *Error {
	answer := answerOf(err)
	refused := startsWith(answer, refusals)
	switch {
	case answer != "" && !refused && !startsWith(answer, denials):
		return &Error{Kind: ErrInternal, Message: "the store holds data that this version of Berth cannot work with", Cause: err}
	case sent > 1 || sent == 1 && !refused:
		return outcomeUnknown(err)
	}
	return unavailable(err)
}

// answerOf is the error reply of a server that an error is; empty if it is something else.
func answerOf(err error) string {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return ""
	}
	return answer.Error()
}

func startsWith(answer string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(answer, prefix) })
}

func outcomeUnknown(err error) *Error {
	return &Error{
		Kind:    ErrOutcomeUnknown,
		Message: "the store is unavailable: it did not answer in time, so the change may or may not have happened; retry with the same idempotency token",
		Cause:   err,
	}
}

// partly is the error of a later step: an earlier one has changed something, whatever became of this one.
func partly(err error) error {
	var failed *Error
	if errors.As(err, &failed) && failed.Kind == ErrStoreUnavailable {
		return outcomeUnknown(failed.Cause)
	}
	return err
}

func unavailable(err error) *Error {
	return &Error{Kind: ErrStoreUnavailable, Message: "the store is unavailable; nothing was changed, retry later", Cause: err}
}
