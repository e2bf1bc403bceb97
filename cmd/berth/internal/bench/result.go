package bench

import (
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run found out. Times are in µs unless their names say otherwise.
type Result struct {
	Scenario    string      `json:"scenario"`
	Protocol    string      `json:"protocol"`
	URL         string      `json:"url"`
	Connections int         `json:"connections"`
	Rate        float64     `json:"rate,omitempty"` // of an open loop
	Rounds      int         `json:"rounds"`
	Seconds     float64     `json:"seconds,omitempty"` // of each round
	Count       int         `json:"count,omitempty"`   // of requests in each round
	Interrupted bool        `json:"interrupted,omitempty"`
	Contenders  []Contender `json:"contenders"`
}

// Contender is what one of the contenders did.
type Contender struct {
	Name       string      `json:"name"`
	Operations []Operation `json:"operations"`
	// Total is of all operations.
	Total Operation `json:"total"`
	// Rounds are those that went to their ends.
	Rounds []Round `json:"rounds,omitempty"`
	// Ratios are what Berth did divided by what this did, round by round. Berth has none.
	Ratios *Ratios `json:"ratios,omitempty"`

	series  map[string]*series
	elapsed time.Duration
	unmade  int
}

// Operation is what came of the requests for an operation, in all rounds.
type Operation struct {
	Name      string         `json:"name,omitempty"`
	PerSecond float64        `json:"per_second"` // those that succeeded
	Succeeded int            `json:"succeeded"`
	Full      int            `json:"full"`
	Errors    int            `json:"errors"`
	Unmade    int            `json:"unmade,omitempty"` // were due and never made
	Outcomes  map[string]int `json:"outcomes,omitempty"`
	Latency   Latency        `json:"latency_us"` // of those that succeeded

	histogram *hdrhistogram.Histogram
}

// Latency is a distribution of latencies.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  int64   `json:"p50"`
	P90  int64   `json:"p90"`
	P99  int64   `json:"p99"`
	P999 int64   `json:"p99_9"`
	Max  int64   `json:"max"`
}

// Round is what a contender did in one round.
type Round struct {
	PerSecond float64 `json:"per_second"`
	P50       int64   `json:"p50_us"`
	P99       int64   `json:"p99_us"`
	Store     *Store  `json:"store,omitempty"`
}

// Store is what the store spent, as its own counters say.
type Store struct {
	CPU    float64 `json:"cpu_us"`    // for each request that succeeded
	Script float64 `json:"script_us"` // for each call of a script, of which there may be none
}

// Ratios compares Berth with another contender.
type Ratios struct {
	PerSecond Spread  `json:"per_second"`
	P50       Spread  `json:"p50"`
	P99       Spread  `json:"p99"`
	CPU       *Spread `json:"cpu,omitempty"`
	Script    *Spread `json:"script,omitempty"`
}

// Spread is the median of ratios, and the least and the greatest.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// measured is what came of one turn of a contender.
type measured struct {
	elapsed time.Duration
	unmade  int
	series  map[string]*series
	spent   *spent
	whole   bool // nothing cut it short
}

func newResult(c Config) *Result {
	return &Result{
		Scenario: c.Mix.String(), Protocol: c.Protocol.Name, URL: c.URL, Connections: c.Load.Connections,
		Rate: c.Load.Rate, Rounds: c.Rounds, Seconds: c.Load.Duration.Seconds(), Count: c.Load.Count,
	}
}

// add adds a turn.
func (c *Contender) add(m measured) {
	if c.series == nil {
		c.series = make(map[string]*series)
	}
	for operation, s := range m.series {
		if c.series[operation] == nil {
			c.series[operation] = newSeries()
		}
		c.series[operation].merge(s)
	}
	c.elapsed += m.elapsed
	c.unmade += m.unmade
	all := together(m.series).latencies
	if !m.whole || all.TotalCount() == 0 {
		return
	}
	round := Round{
		PerSecond: float64(all.TotalCount()) / m.elapsed.Seconds(),
		P50:       all.ValueAtPercentile(50), P99: all.ValueAtPercentile(99),
	}
	if m.spent != nil {
		round.Store = &Store{CPU: m.spent.cpu / float64(all.TotalCount())}
		if m.spent.scripts > int(all.TotalCount())/2 { // otherwise they are not the contender's
			round.Store.Script = m.spent.script / float64(m.spent.scripts)
		}
	}
	c.Rounds = append(c.Rounds, round)
}

// conclude works out what the turns amount to.
func (r *Result) conclude() {
	for i := range r.Contenders {
		c := &r.Contenders[i]
		for _, name := range slices.Sorted(maps.Keys(c.series)) {
			c.Operations = append(c.Operations, newOperation(name, c.series[name], c.elapsed))
		}
		c.Total = newOperation("", together(c.series), c.elapsed)
		c.Total.Unmade = c.unmade
		if i > 0 {
			c.Ratios = ratiosOf(r.Contenders[0].Rounds, c.Rounds)
		}
	}
}

func newOperation(name string, s *series, elapsed time.Duration) Operation {
	h := s.latencies
	op := Operation{
		Name: name, Succeeded: int(h.TotalCount()), Full: s.failures[full], Errors: failed(s.failures) - s.failures[full],
		Latency: Latency{
			Mean: h.Mean(), P50: h.ValueAtPercentile(50), P90: h.ValueAtPercentile(90), P99: h.ValueAtPercentile(99),
			P999: h.ValueAtPercentile(99.9), Max: h.Max(),
		},
		histogram: h,
	}
	if len(s.failures) > 0 {
		op.Outcomes = s.failures
	}
	if elapsed > 0 {
		op.PerSecond = float64(op.Succeeded) / elapsed.Seconds()
	}
	return op
}

// ratiosOf divides the rounds of Berth by those of another contender; nil when there are none.
func ratiosOf(ours, theirs []Round) *Ratios {
	n := min(len(ours), len(theirs))
	if n == 0 {
		return nil
	}
	spread := func(of func(Round) float64) *Spread {
		var ratios []float64
		for i := range n {
			if a, b := of(ours[i]), of(theirs[i]); a > 0 && b > 0 {
				ratios = append(ratios, a/b)
			}
		}
		if len(ratios) == 0 {
			return nil
		}
		return spreadOf(ratios)
	}
	store := func(of func(*Store) float64) *Spread {
		return spread(func(r Round) float64 {
			if r.Store == nil {
				return 0
			}
			return of(r.Store)
		})
	}
	rate := spread(func(r Round) float64 { return r.PerSecond })
	p50 := spread(func(r Round) float64 { return float64(r.P50) })
	p99 := spread(func(r Round) float64 { return float64(r.P99) })
	if rate == nil || p50 == nil || p99 == nil {
		return nil
	}
	return &Ratios{*rate, *p50, *p99, store(func(s *Store) float64 { return s.CPU }), store(func(s *Store) float64 { return s.Script })}
}

// spreadOf is the median of ratios, and the least and the greatest. There is one at least.
func spreadOf(ratios []float64) *Spread {
	slices.Sort(ratios)
	n := len(ratios)
	return &Spread{Median: (ratios[(n-1)/2] + ratios[n/2]) / 2, Min: ratios[0], Max: ratios[n-1]}
}

// Succeeded is how many requests to Berth did what they were to do.
func (r *Result) Succeeded() int { return r.Contenders[0].Total.Succeeded }
