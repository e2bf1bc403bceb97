package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config says what to measure, and how.
type Config struct {
	// URL is where the service is.
	URL string
	// Mix is what its clients ask for, over which protocol.
	Mix      Mix
	Protocol *Protocol
	// Load is how much they ask for in each round, after a warm-up that is not measured.
	Load   Load
	WarmUp time.Duration
	// GameSessions is how many game sessions are in use at a time, each of so many slots.
	GameSessions, Slots int
	// GroupSize is how many players a group has.
	GroupSize int
	// Compare names what Berth is compared with, in turn, round after round. It may be empty, and Serve nil then.
	Compare []string
	// Rounds is how often each has its turn.
	Rounds int
	// Serve serves a handler on this machine, as Berth is served, and returns its address and what stops it.
	Serve func(http.Handler) (address string, stop func(), err error)
	// Dial connects to the store. It is nil when the store is not known.
	Dial func() (redis.UniversalClient, error)
	// Meter is asked what the store spends. It is nil when that is not to be known.
	Meter redis.UniversalClient
	// KeepService leaves what was made in the service, which is gone with its store.
	KeepService bool
	// Progress is told how the run goes on. It may be nil.
	Progress Progress
}

// Check fails when the configuration asks for what cannot be measured.
func (c Config) Check() error {
	chosen, err := comparatorsOf(c.Compare, c.Mix)
	if err != nil {
		return err
	}
	for _, comparator := range chosen {
		if comparator.reservesOnly && c.Dial == nil {
			return fmt.Errorf("the comparator %s works on the store, which is not known; say where it is, with --redis", comparator.name)
		}
	}
	if c.Mix.has("group") && c.GroupSize > c.Slots {
		return fmt.Errorf("a group of %d does not fit into a game session of %d slots", c.GroupSize, c.Slots)
	}
	return nil
}

// cleanUpTimeout is how long cleaning up may take.
const cleanUpTimeout = 5 * time.Minute

// ErrInterrupted says that there is no result, because the run was interrupted while it was prepared.
var ErrInterrupted = errors.New("interrupted before anything was measured")

// runner is a run.
type runner struct {
	Config
	base    *url.URL
	service *service
	world   *world
	stores  []redis.UniversalClient // of the comparators

	closers []func()
	making  sync.WaitGroup // of game sessions
	fail    func(error)
}

// closing has something closed at the end of the run; the last comes first.
func (r *runner) closing(f func()) { r.closers = append(r.closers, f) }

// Run measures. When ctx ends in the middle, the result has what was measured by then. The error says what failed; there may be a
// result nevertheless.
func Run(ctx context.Context, config Config) (result *Result, err error) {
	base, err := parseBase(config.URL)
	if err != nil {
		return nil, err
	}
	if err := config.Check(); err != nil {
		return nil, err
	}
	if config.Progress == nil {
		config.Progress = silent{}
	}
	nap, closeNap := newNap()
	config.Load.nap = nap
	working, stop := context.WithCancelCause(ctx)
	r := &runner{Config: config, base: base, service: newService(base, config.Slots), fail: stop}
	r.closing(closeNap)
	r.closing(r.service.close)
	defer func() {
		stop(nil)
		r.making.Wait()
		err = errors.Join(err, r.cleanUp(context.WithoutCancel(ctx)))
		for _, f := range slices.Backward(r.closers) {
			f()
		}
	}()

	contenders, err := r.prepare(working)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ErrInterrupted
	case err != nil:
		return nil, why(working, err)
	}
	result = newResult(config)
	for _, c := range contenders {
		result.Contenders = append(result.Contenders, Contender{Name: c.name})
	}
	err = r.measure(working, contenders, result)
	result.conclude()
	if result.Interrupted = ctx.Err() != nil; result.Interrupted {
		return result, nil // it is nobody's failure
	}
	return result, why(working, err)
}

// why is why a run failed: what cancelled it, of which all other failures are consequences.
func why(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// prepare makes what the requests are about, and warms all contenders up.
func (r *runner) prepare(ctx context.Context) (contenders []*contender, err error) {
	r.Progress.Prepare("preparing")
	if r.world, err = r.serviceWorld(ctx); err != nil {
		return nil, fmt.Errorf("preparing %s: %w", r.URL, err)
	}
	contenders = append(contenders, r.berth())
	chosen, err := comparatorsOf(r.Compare, r.Mix)
	if err != nil {
		return nil, err
	}
	for _, c := range chosen {
		contender, err := c.begin(r, ctx)
		if err != nil {
			return nil, fmt.Errorf("preparing the comparator %s: %w", c.name, err)
		}
		contenders = append(contenders, contender)
	}
	if r.WarmUp == 0 {
		return contenders, nil
	}
	for _, c := range contenders {
		r.Progress.Prepare("warming " + c.name + " up")
		warmUp := r.Load
		warmUp.Duration, warmUp.Count = r.WarmUp, 0
		if _, _, err := warmUp.run(ctx, c.callers, newRecording(len(c.callers))); err != nil {
			return nil, err
		}
		if err := c.tidyUp(ctx); err != nil {
			return nil, err
		}
	}
	return contenders, nil
}

func (c *contender) tidyUp(ctx context.Context) error {
	if c.tidy == nil {
		return nil
	}
	return c.tidy(ctx)
}

// measure gives each contender its turn, round after round, and adds what came of it to the result.
func (r *runner) measure(ctx context.Context, contenders []*contender, result *Result) error {
	for round := range r.Rounds {
		for i, c := range contenders {
			m, err := r.measureOne(ctx, c, round+1)
			if err != nil {
				return err
			}
			result.Contenders[i].add(m)
			if err := errors.Join(ctx.Err(), c.tidyUp(ctx)); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureOne gives a contender its turn.
func (r *runner) measureOne(ctx context.Context, c *contender, round int) (m measured, err error) {
	before, err := r.spent(ctx, c)
	if err != nil {
		return m, err
	}
	record := newRecording(len(c.callers))
	ended := r.Progress.Round(c.name, round, r.Rounds, r.Load, record)
	m.elapsed, m.unmade, err = r.Load.run(ctx, c.callers, record)
	ended()
	if err != nil {
		return m, err
	}
	m.series, m.whole = record.series(), ctx.Err() == nil
	if before == nil || !m.whole {
		return m, nil
	}
	after, err := r.spent(ctx, c)
	if err == nil {
		spent := after.since(*before)
		m.spent = &spent
	}
	return m, err
}

// spent asks the store what it has spent; nil when that is not to be known, or is nothing of the contender's.
func (r *runner) spent(ctx context.Context, c *contender) (*spent, error) {
	if r.Meter == nil || c.storeless {
		return nil, nil
	}
	s, err := spentBy(ctx, r.Meter)
	return &s, err
}

// serviceWorld makes what the requests to the service are about.
func (r *runner) serviceWorld(ctx context.Context) (w *world, err error) {
	fleet, err := r.service.createFleet(ctx)
	if err != nil {
		return nil, err
	}
	w, err = r.newWorld(ctx, r.Mix, func(ctx context.Context) (string, error) { return r.service.createGame(ctx, fleet) })
	if err != nil {
		return nil, err
	}
	w.fleet = fleet
	if r.Mix.has("describe") {
		for i, room := range w.many.current {
			id, err := r.service.createPlayer(ctx, room.game, fmt.Sprintf("%s-%d", r.service.name, i))
			if err != nil {
				return nil, err
			}
			room.free--
			w.described = append(w.described, id)
		}
	}
	if r.Mix.has("place") {
		// In a fleet of its own there is exactly the room that placements need. A service may look at a fleet only once a
		// second, so that more is made ahead than elsewhere.
		if w.placeFleet, err = r.service.createFleet(ctx); err != nil {
			return nil, err
		}
		w.place, err = r.games(ctx, 1, r.GameSessions, 1, func(ctx context.Context) (string, error) {
			return r.service.createGame(ctx, w.placeFleet)
		})
	}
	return w, err
}

// newWorld makes the game sessions that the requests of a mix are about.
func (r *runner) newWorld(ctx context.Context, mix Mix, create func(context.Context) (string, error)) (w *world, err error) {
	w = &world{group: r.GroupSize}
	if mix.has("reserve", "group", "life", "describe", "search") {
		slots := 1
		if mix.has("group") {
			slots = r.GroupSize
		}
		if w.many, err = r.games(ctx, r.GameSessions, ahead, slots, create); err != nil {
			return nil, err
		}
	}
	if mix.has("reserve-hot") {
		w.hot, err = r.games(ctx, 1, ahead, 1, create)
	}
	return w, err
}

// ahead is how many game sessions are made ahead, where that may be needed.
const ahead = 32

// games makes game sessions: so many to use at a time, and others ahead, unless the requests, each of which may take so many
// slots, cannot need them.
func (r *runner) games(ctx context.Context, use, ahead, slots int, create func(context.Context) (string, error)) (*games, error) {
	if r.Load.Count > 0 && r.WarmUp == 0 {
		perGame := r.Slots / slots
		needed := r.Load.Count*r.Rounds/perGame + 1
		ahead = min(ahead, needed)
	}
	return newGames(ctx, &r.making, use, ahead, r.Slots, create, r.fail)
}

// cleanUp leaves nothing behind that can be deleted.
func (r *runner) cleanUp(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, cleanUpTimeout)
	defer cancel()
	r.Progress.Prepare("cleaning up")
	defer r.Progress.Done()
	if len(r.stores) > 0 {
		err = Delete(ctx, r.stores[0], Prefix, nil)
	}
	if !r.KeepService {
		err = errors.Join(err, r.service.cleanUp(ctx))
	}
	return err
}
