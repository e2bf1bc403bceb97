package bench

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// succeeded is the outcome of a request that did what it was to do. Any other outcome is the name of what went wrong.
const succeeded = ""

// full is the outcome of a reservation for which there is no slot, as the API names it.
const full = "GameSessionFullException"

// Latencies are kept in µs, to three significant figures, up to maxLatency.
const (
	maxLatency         = 10 * time.Minute
	significantFigures = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), significantFigures)
}

// recording is what callers were answered, and how fast. It has parts, so that callers hardly wait for each other.
type recording struct{ parts []part }

// mostParts is how many parts there are at most: each takes a quarter of a megabyte for each operation.
const mostParts = 16

type part struct {
	mu  sync.Mutex
	ops map[string]*series
	_   [64]byte // keeps the next part off this one's cache line
}

// series is what came of the requests for one operation.
type series struct {
	latencies *hdrhistogram.Histogram // of those that succeeded
	failures  map[string]int          // by outcome
}

func newSeries() *series {
	return &series{newHistogram(), make(map[string]int)}
}

func (s *series) merge(from *series) {
	s.latencies.Merge(from.latencies)
	for outcome, n := range from.failures {
		s.failures[outcome] += n
	}
}

func newRecording(callers int) *recording {
	r := &recording{make([]part, min(callers, mostParts))}
	for i := range r.parts {
		r.parts[i].ops = make(map[string]*series)
	}
	return r
}

// add records what became of a request of a caller.
func (r *recording) add(caller int, operation, outcome string, latency time.Duration) {
	p := &r.parts[caller%len(r.parts)]
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.ops[operation]
	if s == nil {
		s = newSeries()
		p.ops[operation] = s
	}
	if outcome != succeeded {
		s.failures[outcome]++
		return
	}
	_ = s.latencies.RecordValue(min(latency, maxLatency).Microseconds()) // in range, so it cannot fail
}

// series returns what there is so far, by operation.
func (r *recording) series() map[string]*series {
	all := make(map[string]*series)
	for i := range r.parts {
		p := &r.parts[i]
		p.mu.Lock()
		for operation, s := range p.ops {
			if all[operation] == nil {
				all[operation] = newSeries()
			}
			all[operation].merge(s)
		}
		p.mu.Unlock()
	}
	return all
}

// total is how many requests have been answered so far, in whatever way.
func (r *recording) total() (n int) {
	for i := range r.parts {
		p := &r.parts[i]
		p.mu.Lock()
		for _, s := range p.ops {
			n += int(s.latencies.TotalCount()) + failed(s.failures)
		}
		p.mu.Unlock()
	}
	return n
}

func failed(failures map[string]int) (n int) {
	for _, count := range failures {
		n += count
	}
	return n
}

// together is what came of the requests for all operations.
func together(all map[string]*series) *series {
	sum := newSeries()
	for _, operation := range slices.Sorted(maps.Keys(all)) {
		sum.merge(all[operation])
	}
	return sum
}
