package allocator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// answerLife is how long the answer to a request is kept: longer than game servers repeat it.
const answerLife = 5 * time.Minute

// Once does what a request of the process asks for, unless it has been done: then it returns what it returned. Refusals are kept
// always; success is kept if the deed cannot tell that it is repeated. What failed for want of the store is done again.
func (c *ServerProcessConnection) Once(ctx context.Context, request string, keepSuccess bool, do func(context.Context) error) error {
	key := c.a.answerKey(c.ref, request)
	if answered, err := c.answer(ctx, key); answered || err != nil {
		return err
	}
	err := do(ctx)
	var refusal *Error
	switch {
	case err == nil && !keepSuccess:
		return nil
	case err != nil && (!errors.As(err, &refusal) || !refusal.Kind.isRefusal()):
		return err
	}
	kept := redis.SetArgs{TTL: answerLife}
	if err != nil {
		kept.Mode = "NX" // of two at a time, the one that has done it counts
	}
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout) // it is done
	defer cancel()
	switch failed := c.a.redis.SetArgs(patient, key, writeAnswer(refusal), kept).Err(); {
	case errors.Is(failed, redis.Nil): // the other one was quicker
		if answered, other := c.answer(patient, key); answered {
			return other
		}
	default:
		c.a.logged(patient, "keeping an answer", "the request, sent again, would be done again", failed)
	}
	return err
}

// answer returns what a request was answered with, if it has been.
func (c *ServerProcessConnection) answer(ctx context.Context, key string) (answered bool, err error) {
	kept, err := c.a.redis.Get(ctx, key).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return false, nil
	case err != nil:
		return false, c.a.failed(err, 0)
	case kept == "": // it was done in the step that kept this, and that may have been a moment ago
		return true, c.a.awaitAnother(ctx, key)
	}
	return true, readAnswer(kept)
}

func (a *Allocator) answerKey(process ref, request string) string {
	return answerKey(process, a.shorten("answer", request))
}

func writeAnswer(refusal *Error) string {
	if refusal == nil {
		return ""
	}
	return string(refusal.Kind) + "\n" + refusal.Message
}

func readAnswer(kept string) error {
	kind, message, refused := strings.Cut(kept, "\n")
	if !refused {
		return nil
	}
	return &Error{Kind: Kind(kind), Message: message}
}
