package allocator

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// snapshotLife is how old a snapshot may be when it is used.
	snapshotLife = time.Second
	// snapshotTimeout is how long reading one may take.
	snapshotTimeout = 10 * time.Second
	// snapshotChunk is how many game sessions are read in one go.
	snapshotChunk = 1000
	// snapshotData is how many bytes of game session data a snapshot keeps of a game session; longer data is read when it is needed.
	snapshotData = 4096
	// snapshotMemory is how long a snapshot that nobody asks for is kept.
	snapshotMemory = time.Minute
)

// snapshot holds the ACTIVE game sessions of a fleet as they stood a short while ago. Nothing in it is ever changed.
type snapshot struct {
	games []GameSession
	// lacksData has those whose game session data is too long to be here.
	lacksData map[GameSessionID]bool
	// reserved counts what this process has reserved in each since, so that its own callers do not all run at the same slot.
	reserved []atomic.Int64
	held     []atomic.Int64 // slots that they are about to reserve
	started  time.Time      // when reading it began, by this process' monotonic clock
}

// snapshots shares the snapshots of fleets among the callers of a process: one is read at a time for each fleet.
type snapshots struct {
	read func(context.Context, FleetID) (*snapshot, error)
	mu   sync.Mutex
	of   map[FleetID]*snapshotRead
}

// snapshotRead is a snapshot that has been read or is being read.
type snapshotRead struct {
	started  time.Time
	done     chan struct{} // closed when the rest is there
	snapshot *snapshot
	err      error
}

func newSnapshots(read func(context.Context, FleetID) (*snapshot, error)) *snapshots {
	return &snapshots{read: read, of: make(map[FleetID]*snapshotRead)}
}

// get returns a snapshot of a fleet that is a second old at most.
func (s *snapshots) get(ctx context.Context, fleet FleetID) (*snapshot, error) {
	return s.since(ctx, fleet, time.Now().Add(-snapshotLife))
}

// since returns a snapshot whose reading began at that time or later.
func (s *snapshots) since(ctx context.Context, fleet FleetID, earliest time.Time) (*snapshot, error) {
	s.mu.Lock()
	current := s.of[fleet]
	if current == nil || current.started.Before(earliest) {
		current = &snapshotRead{started: time.Now(), done: make(chan struct{})}
		s.of[fleet] = current
		go s.fill(context.WithoutCancel(ctx), fleet, current)
	}
	s.mu.Unlock()
	select {
	case <-current.done:
		return current.snapshot, current.err
	case <-ctx.Done():
		return nil, storeFailure(ctx.Err(), 0)
	}
}

func (s *snapshots) fill(ctx context.Context, fleet FleetID, current *snapshotRead) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	current.snapshot, current.err = s.read(ctx, fleet)
	if current.err != nil { // first: whoever asks from now on is not to get an error that may be over
		s.forget(fleet, current)
		close(current.done)
		return
	}
	current.snapshot.started = current.started
	close(current.done)
	time.AfterFunc(snapshotMemory, func() { s.forget(fleet, current) })
}

// forget drops a snapshot unless there is a newer one.
func (s *snapshots) forget(fleet FleetID, read *snapshotRead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[fleet] == read {
		delete(s.of, fleet)
	}
}

// readActive reads the ACTIVE game sessions of a fleet. It costs a command a partition, and two a game session, in a few round
// trips a shard. It fails with ErrNotFound.
func (a *Allocator) readActive(ctx context.Context, fleet FleetID) (*snapshot, error) {
	if exists, err := a.exists(ctx, fleetKey(fleet)); err != nil || !exists {
		return nil, cmp.Or(err, fleetNotFound(fleet))
	}
	cmds := make([]*redis.StringSliceCmd, Partitions)
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for p := range cmds {
			cmds[p] = pipe.ZRange(ctx, liveGameSessionsKey(partition(p), fleet), 0, -1)
		}
	})
	if err != nil {
		return nil, err
	}
	var refs []ref
	for p, cmd := range cmds {
		refs = append(refs, refsOf(partition(p), cmd.Val())...)
	}
	view := &snapshot{games: make([]GameSession, 0, len(refs)), lacksData: make(map[GameSessionID]bool)}
	for chunk := range slices.Chunk(refs, snapshotChunk) {
		err := a.eachGameSession(ctx, chunk, snapshotData, func(game GameSession, stored record) {
			if game.Status != GameSessionActive {
				return
			}
			view.games = append(view.games, game)
			if stored["data_left_out"] != "" {
				view.lacksData[game.ID] = true
			}
		})
		if err != nil {
			return nil, err
		}
	}
	view.reserved, view.held = make([]atomic.Int64, len(view.games)), make([]atomic.Int64, len(view.games))
	return view, nil
}
