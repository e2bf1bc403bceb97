package gameserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// ErrClosed is why a request fails on a process that was closed.
var ErrClosed = errors.New("the process is closed")

var errSilent = errors.New("the service does not answer")

// Error is an answer of the service that the request was not granted.
type Error struct {
	Action     string // what was asked for, "Connect" for the connection itself
	StatusCode int    // as in HTTP
	Message    string // in the words of the service
}

// Error names the action and says why it was refused.
func (e *Error) Error() string {
	return fmt.Sprintf("%s was refused (%d): %s", e.Action, e.StatusCode, e.Message)
}

// Refused tells whether the service has said no: nothing has happened, and the same request would fail again. What failed in any other way
// may have happened or may not; ask again, or wait until the service is well.
func Refused(err error) bool {
	answer, ok := errors.AsType[*Error](err)
	return ok && answer.StatusCode >= 400 && answer.StatusCode < 500 &&
		answer.StatusCode != http.StatusRequestTimeout && answer.StatusCode != http.StatusTooManyRequests
}

// Request is a request in the form in which it is sent, for what has no method of its own.
type Request struct {
	Action    string
	RequestID string // default: a fresh one
	Members   []Member
}

// Member is one member of a JSON object. A nil Value is unset: left out or null, as the dialect has it.
// A Value may itself be a []Member or a [][]Member.
type Member struct {
	Name  string
	Value any
}

// given is a member's value that is unset when it is zero.
func given[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}

// A call is a request that waits for its answer.
type call struct {
	id, action string
	message    []byte
	answered   chan answer // of one
}

type answer struct {
	message []byte
	err     error
}

// Do sends a request and returns the whole message that answers it. It fails with an [*Error] when the service refuses, with
// [context.DeadlineExceeded] when it does not answer in time, and with [ErrClosed] when the process is or becomes closed. No two requests
// may wait under one RequestID.
func (p *Process) Do(ctx context.Context, r Request) ([]byte, error) {
	if r.RequestID == "" {
		r.RequestID = p.accent.requestID()
	}
	message, err := p.accent.object(append([]Member{{"Action", r.Action}, {"RequestId", r.RequestID}}, r.Members...))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be encoded: %w", r.Action, err)
	}
	waiting := &call{id: r.RequestID, action: r.Action, message: message, answered: make(chan answer, 1)}
	if err := p.enter(waiting); err != nil {
		return nil, err
	}
	defer p.leave(waiting)

	timeout := time.NewTimer(p.config.RequestTimeout)
	defer timeout.Stop()
	for resends := p.accent.resends; ; resends-- {
		select {
		case answer := <-waiting.answered:
			return answer.message, answer.err
		case <-ctx.Done():
			return nil, fmt.Errorf("%s was not answered: %w", r.Action, context.Cause(ctx))
		case <-p.over:
			return nil, p.why()
		case <-timeout.C:
		}
		if err := p.unanswered(waiting, resends > 0); err != nil {
			return nil, err
		}
		timeout.Reset(p.config.RequestTimeout)
	}
}

// request is Do for the methods of the protocol; into is what the answer is decoded to, if anything.
func (p *Process) request(ctx context.Context, action string, into any, members ...Member) error {
	message, err := p.Do(ctx, Request{Action: action, Members: members})
	if err != nil || into == nil {
		return err
	}
	if err := p.accent.decode(message, into); err != nil {
		return fmt.Errorf("the answer to %s cannot be read: %w", action, err)
	}
	return nil
}

// enter sends a request, at once or when there is a connection.
func (p *Process) enter(c *call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return p.ended
	}
	if slices.ContainsFunc(p.waiting, func(other *call) bool { return other.id == c.id }) {
		return fmt.Errorf("a request with the RequestId %q is waiting for its answer; use another", c.id)
	}
	p.waiting = append(p.waiting, c)
	if p.current != nil {
		p.current.outbox.put(c.message)
	}
	return nil
}

func (p *Process) leave(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(other *call) bool { return other == c })
}

// unanswered is told that a request got no answer in time. It sends the request again or fails. A connection on which two in a row
// were not answered, although it was there for long enough, is taken for dead.
func (p *Process) unanswered(c *call, again bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := "connected"
	if p.current == nil {
		state = fmt.Sprintf("not connected: %v", p.lost)
	} else if time.Since(p.since) >= p.config.RequestTimeout {
		if p.silences++; p.silences == 2 {
			p.config.Logger.Warn("two requests in a row were not answered; connecting again", "action", c.action)
			p.current.drop(errSilent)
			p.current, p.lost = nil, errSilent
		}
	}
	if !again {
		return fmt.Errorf("%s was not answered within %v (%s): %w", c.action, p.config.RequestTimeout, state, context.DeadlineExceeded)
	}
	if p.current != nil {
		p.current.outbox.put(c.message)
	}
	return nil
}

// envelope is what every message of the service has, and every answer.
type envelope struct {
	Action       string
	RequestID    *string `json:"RequestId"`
	StatusCode   *int
	ErrorMessage string
}

// receive takes a message of the service: an answer if it has a RequestId, otherwise a push.
func (p *Process) receive(message []byte) {
	var e envelope
	if err := p.accent.decode(message, &e); err != nil {
		p.config.Logger.Warn("the service sent what is no message; it is passed over", "err", err)
		return
	}
	if e.RequestID == nil || *e.RequestID == "" && !p.accent.emptyIDIsID {
		p.push(e.Action, message)
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	p.silences = 0
	i := slices.IndexFunc(p.waiting, func(c *call) bool { return c.id == *e.RequestID })
	if i < 0 {
		p.config.Logger.Debug("the service answered a request that does not wait", "action", e.Action, "request_id", *e.RequestID)
		return
	}
	c := p.waiting[i]
	p.waiting = slices.Delete(p.waiting, i, i+1)
	c.answered <- answer{message: message, err: e.refusal(c.action)}
}

// refusal is why the answer to an action is none that the caller can use; nil if it is.
func (e envelope) refusal(action string) error {
	switch {
	case e.Action != action:
		return fmt.Errorf("the answer to %s names the action %q", action, e.Action)
	case e.StatusCode == nil:
		return fmt.Errorf("the answer to %s has no StatusCode", action)
	case *e.StatusCode != http.StatusOK:
		return &Error{Action: action, StatusCode: *e.StatusCode, Message: e.ErrorMessage}
	}
	return nil
}
