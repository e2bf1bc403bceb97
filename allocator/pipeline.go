package allocator

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pipelinedFrom is how many script calls have to be under way for one to be pipelined. A call that is nearly alone would only
	// wait for company.
	pipelinedFrom = 5
	// pipelinesAtOnce is how many pipelines to a server may be under way: one whose connection is silent does not hold up the rest.
	pipelinesAtOnce = 2
	// pipelinedCalls is how many calls a pipeline takes at most, so that none waits for the answers of very many others.
	pipelinedCalls = 128
)

// pipelines send the script calls that are made at the same time in few round trips. A call never waits for others to come: those
// that come while pipelines are under way share the next one. Each server has its own, so that none waits for another.
//
// This is what the automatic pipelining of go-redis does, but for promises that need to know when a call is sent: a caller waits no
// longer than its context, a call that is given up before its pipeline begins is never sent, and how often a change was sent is
// known. A pipeline is sent once, but for calls that a cluster leads to another server. What fails, each call makes up for alone.
type pipelines struct {
	client    redis.UniversalClient
	from      int64
	isRetried bool         // a call that the server did not answer, or not yet
	underWay  atomic.Int64 // script calls, those that are alone included
	byServer  sync.Map     // address of a master -> *pipeline
}

// pipeline is the calls of one server.
type pipeline struct {
	client redis.UniversalClient

	mu      sync.Mutex
	waiting []*pipelinedCall
	senders int
}

type pipelinedCall struct {
	ctx  context.Context
	cmd  sentOnce // the sender's, once it does not wait any more, until done
	done chan struct{}
}

// sentOnce is a command with which go-redis does not try a pipeline again.
type sentOnce struct{ *redis.Cmd }

// NoRetry tells go-redis so.
func (sentOnce) NoRetry() bool { return true }

func newPipelines(client redis.UniversalClient) *pipelines {
	return &pipelines{client: client, from: pipelinedFrom, isRetried: retries(client)}
}

// retries tells whether a client tries again when a server does not answer.
func retries(client redis.UniversalClient) bool {
	switch client := client.(type) {
	case *redis.Client:
		return client.Options().MaxRetries > 0
	case *redis.ClusterClient:
		return client.Options().MaxRedirects > 0
	}
	return true
}

// of returns the pipeline to the server that has a key; nil if that is not known.
func (p *pipelines) of(ctx context.Context, key string) *pipeline {
	var server string
	if cluster, ok := p.client.(*redis.ClusterClient); ok {
		master, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil
		}
		server = master.Options().Addr
	}
	known, ok := p.byServer.Load(server)
	if !ok {
		known, _ = p.byServer.LoadOrStore(server, &pipeline{client: p.client})
	}
	return known.(*pipeline)
}

// do sends a command and waits for its answer. When ctx ends before, hasBegun tells whether the pipeline with the command has begun;
// then the command may be sent yet, and must not be looked at.
func (p *pipeline) do(ctx context.Context, cmd *redis.Cmd) (hasBegun bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	call := &pipelinedCall{ctx: ctx, cmd: sentOnce{cmd}, done: make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, call)
	if p.senders < pipelinesAtOnce {
		p.senders++
		go p.send()
	}
	p.mu.Unlock()
	select {
	case <-call.done:
		return true, nil
	case <-ctx.Done():
		return !p.giveUp(call), ctx.Err()
	}
}

// giveUp takes a call back that still waits, and tells whether it does.
func (p *pipeline) giveUp(call *pipelinedCall) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, call)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	return i >= 0
}

// send sends what waits until nothing does.
func (p *pipeline) send() {
	var calls []*pipelinedCall
	for {
		if calls = p.next(calls); len(calls) == 0 {
			return
		}
		ctx, cancel := contextOf(calls)
		_, err := p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, call := range calls {
				_ = pipe.Process(ctx, call.cmd) // queues it
			}
			return nil
		})
		cancel()
		for _, call := range calls {
			if call.cmd.Err() == nil && call.cmd.Val() == nil { // no script replies with nothing
				call.cmd.SetErr(err)
			}
			close(call.done)
		}
	}
}

// next moves calls that wait to a list, which it empties before. If there are none, the sender ends.
func (p *pipeline) next(calls []*pipelinedCall) []*pipelinedCall {
	clear(calls)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), pipelinedCalls)
	calls = append(calls[:0], p.waiting[:n]...)
	p.waiting = slices.Delete(p.waiting, 0, n)
	if n == 0 {
		p.senders--
	}
	return calls
}

// contextOf is for as long as any of the calls has time, and belongs to the trace of the first.
func contextOf(calls []*pipelinedCall) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(calls[0].ctx)
	var last time.Time
	for _, call := range calls {
		deadline, ok := call.ctx.Deadline()
		if !ok {
			return ctx, func() {}
		}
		if deadline.After(last) {
			last = deadline
		}
	}
	return context.WithDeadline(ctx, last)
}

// evaluateWithOthers runs a script as evaluate does, but in a pipeline with others if enough are under way.
func (a *Allocator) evaluateWithOthers(ctx context.Context, s script, keys []string, args []any, counted *countedArg) (fields, error) {
	underWay := a.pipelines.underWay.Add(1)
	defer a.pipelines.underWay.Add(-1)
	var p *pipeline
	if underWay >= a.pipelines.from {
		p = a.pipelines.of(ctx, keys[0])
	}
	if p == nil {
		return a.evaluate(ctx, a.redis, s, keys, args, counted)
	}
	cmd := redis.NewCmd(ctx, evalSHA(s, keys, args)...)
	hasBegun, err := p.do(ctx, cmd)
	if err != nil {
		sent := 0
		if hasBegun && counted != nil {
			sent = max(1, counted.sent())
		}
		return nil, a.failed(err, sent)
	}
	again, isRefused := a.pipelines.another(cmd.Err())
	if isRefused && counted.sent() == 1 {
		counted.reset() // it surely did not run
	}
	if again {
		return a.evaluate(ctx, a.redis, s, keys, args, counted)
	}
	return a.replyOf(s, cmd, counted)
}

// another tells whether a call that failed in a pipeline gets another try, alone, and whether the server refused the first.
func (p *pipelines) another(err error) (again, isRefused bool) {
	answer := answerOf(err)
	switch {
	case err == nil:
		return false, false
	case answer == "":
		return p.isRetried, false
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		return true, true
	}
	return p.isRetried && startsWith(answer, temporary), startsWith(answer, refusals)
}

// evalSHA is the command that runs a script which the server has.
func evalSHA(s script, keys []string, args []any) []any {
	command := make([]any, 0, 3+len(keys)+len(args))
	command = append(command, "evalsha", s.Hash(), len(keys))
	for _, key := range keys {
		command = append(command, key)
	}
	return append(command, args...)
}
