package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// berth is the name of the contender that all others are compared with.
const berth = "berth"

// contender is something that gets the load, in turn with the others.
type contender struct {
	name    string
	callers []caller
	// tidy is called after each round. It may be nil.
	tidy func(context.Context) error
	// storeless says that it does not use the store.
	storeless bool
}

// comparator is something that Berth is compared with.
type comparator struct {
	name, about string
	// reservesOnly says that it knows no operation but CreatePlayerSession.
	reservesOnly bool
	// begin prepares it.
	begin func(*runner, context.Context) (*contender, error)
}

// comparators are all that there are.
var comparators = []comparator{
	{"roof", "a Gin handler that reads the request and writes a constant of the reply's size", false, (*runner).roof},
	{"naive", "a Gin handler that reserves by the script with plain go-redis, without pipelining", true, overHTTP("naive", newNaive)},
	{"watch", "a Gin handler that reserves with WATCH and MULTI instead of a script", true, overHTTP("watch", newWatching)},
	{"script", "the script alone, through one pipelined connection to Redis", true, straight("script", bareScript)},
	{"yardstick", "a script of two HSET and two EXPIRE, through one pipelined connection to Redis", true, straight("yardstick", yardstick)},
}

// Comparators describes each comparator on a line.
func Comparators() string {
	var text strings.Builder
	for _, c := range comparators {
		fmt.Fprintf(&text, "%-12s %s\n", c.name, c.about)
	}
	return text.String()
}

// ComparatorNames lists the comparators.
func ComparatorNames() (names []string) {
	for _, c := range comparators {
		names = append(names, c.name)
	}
	return names
}

// comparatorsOf returns the comparators of those names, which can be compared under the mix.
func comparatorsOf(names []string, mix Mix) (chosen []comparator, err error) {
	for i, name := range names {
		at := slices.IndexFunc(comparators, func(c comparator) bool { return c.name == name })
		switch {
		case at < 0:
			return nil, fmt.Errorf("there is no comparator %q; there are %s", name, strings.Join(ComparatorNames(), ", "))
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("the comparator %s is there twice", name)
		case comparators[at].reservesOnly && !mix.hasOnly("reserve", "reserve-hot"):
			return nil, fmt.Errorf("%s reserves and does nothing else, so it cannot be compared under %s; the scenario must be reserve or reserve-hot", name, mix)
		}
		chosen = append(chosen, comparators[at])
	}
	return chosen, nil
}

// overHTTP makes a comparator of a handler that reserves in the store.
func overHTTP(name string, handler func(redis.UniversalClient) http.Handler) func(*runner, context.Context) (*contender, error) {
	return func(r *runner, ctx context.Context) (*contender, error) {
		client, err := r.dial()
		if err != nil {
			return nil, err
		}
		base, err := r.serve(handler(client))
		if err != nil {
			return nil, err
		}
		w, err := r.storedWorld(ctx, client)
		if err != nil {
			return nil, err
		}
		return &contender{name: name, callers: r.players(base, w), tidy: forget(client)}, nil
	}
}

// straight makes a comparator of a script that is sent to the store without any service.
func straight(name string, script func(redis.Scripter) func(context.Context, reservation) ([]any, error)) func(*runner, context.Context) (*contender, error) {
	return func(r *runner, ctx context.Context) (*contender, error) {
		client, err := r.dial()
		if err != nil {
			return nil, err
		}
		if err := loadScripts(ctx, client); err != nil {
			return nil, err
		}
		pipe, err := pipelined(client)
		if err != nil {
			return nil, err
		}
		w, err := r.storedWorld(ctx, client)
		if err != nil {
			return nil, err
		}
		run := script(pipe)
		callers := make([]caller, r.Load.Connections)
		for i := range callers {
			callers[i] = direct{newPlayer(nil, w, r.Mix), run}
		}
		return &contender{name: name, callers: callers, tidy: forget(client)}, nil
	}
}

// forget returns what deletes the reservations of comparators, so that the store is no fuller for whoever comes next.
func forget(client redis.UniversalClient) func(context.Context) error {
	return func(ctx context.Context) error { return Delete(ctx, client, Prefix, isGame) }
}

// roof prepares the constant handler, with replies of Berth's.
func (r *runner) roof(ctx context.Context) (*contender, error) {
	replies := make(map[string][]byte)
	probe := newPlayer(newConnection(r.base, r.Protocol), r.world, r.Mix)
	r.closing(probe.connection.close)
	for _, part := range r.Mix.parts {
		for range part.steps {
			operation, outcome, err := part.call(ctx, probe)
			if err == nil && outcome != succeeded {
				err = fmt.Errorf("%s was answered with %s", operation, outcome)
			}
			if err != nil {
				return nil, fmt.Errorf("asking for a reply to serve as the roof: %w", err)
			}
			replies[operation] = slices.Clone(probe.connection.reply.Body())
		}
	}
	base, err := r.serve(newRoof(replies))
	if err != nil {
		return nil, err
	}
	// What its requests are about is as long as with Berth, and there is room without end.
	w := *r.world
	for _, g := range []**games{&w.many, &w.hot, &w.place} {
		if *g != nil {
			*g = endless((*g).current[0].game)
		}
	}
	return &contender{name: "roof", callers: r.players(base, &w), storeless: true}, nil
}

// berth prepares Berth itself.
func (r *runner) berth() *contender {
	return &contender{name: berth, callers: r.players(r.base, r.world)}
}

// players returns as many as there are to be connections.
func (r *runner) players(base *url.URL, w *world) []caller {
	all := make([]caller, r.Load.Connections)
	for i := range all {
		c := newConnection(base, r.Protocol)
		r.closing(c.close)
		all[i] = newPlayer(c, w, r.Mix)
	}
	return all
}

// storedWorld makes game sessions that only comparators know.
func (r *runner) storedWorld(ctx context.Context, client redis.UniversalClient) (*world, error) {
	return r.newWorld(ctx, r.Mix, func(ctx context.Context) (string, error) { return createStoredGame(ctx, client, r.Slots) })
}

// serve serves a handler until the end of the run.
func (r *runner) serve(handler http.Handler) (*url.URL, error) {
	address, stop, err := r.Serve(handler)
	if err != nil {
		return nil, err
	}
	r.closing(stop)
	return parseBase(address)
}

// dial connects to the store until the end of the run, at which nothing of the comparators is left there.
func (r *runner) dial() (redis.UniversalClient, error) {
	if r.Dial == nil {
		return nil, errors.New("the store is not known")
	}
	client, err := r.Dial()
	if err != nil {
		return nil, err
	}
	r.closing(func() { _ = client.Close() })
	r.stores = append(r.stores, client)
	return client, nil
}
