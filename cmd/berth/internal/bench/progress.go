package bench

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Progress is told how a run goes on.
type Progress interface {
	// Prepare is told of what takes time and is not measured.
	Prepare(what string)
	// Round is told that a contender has its turn, what is recorded meanwhile, and with the function that it returns, that the turn is over.
	Round(contender string, round, rounds int, load Load, record *recording) (ended func())
	// Done is told that there is no more to come.
	Done()
}

// NewProgress returns a Progress that writes: on a terminal a bar that moves, otherwise a line from time to time.
func NewProgress(out io.Writer, terminal bool) Progress {
	if terminal {
		return &bar{out: out}
	}
	return lines{out}
}

type silent struct{}

func (silent) Prepare(string)                                  {}
func (silent) Round(string, int, int, Load, *recording) func() { return func() {} }
func (silent) Done()                                           {}

// every calls f each interval until the function that it returns is called.
func every(interval time.Duration, f func()) (stop func()) {
	stopped := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				f()
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		running.Wait()
	}
}

// standing is how a turn goes.
func standing(record *recording, elapsed time.Duration) string {
	all := together(record.series())
	text := fmt.Sprintf("%.0f/s, p50 %s ms, p99 %s ms", float64(all.latencies.TotalCount())/elapsed.Seconds(),
		ms(all.latencies.ValueAtPercentile(50)), ms(all.latencies.ValueAtPercentile(99)))
	if n := failed(all.failures); n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	return text
}

func turn(contender string, round, rounds int) string {
	if rounds == 1 {
		return contender
	}
	return fmt.Sprintf("%s %d/%d", contender, round, rounds)
}

// lines writes for files and pipes.
type lines struct{ out io.Writer }

const lineInterval = 5 * time.Second

// say writes a line. A pipe that nobody reads any more does not end a run.
func (l lines) say(format string, args ...any) { _, _ = fmt.Fprintf(l.out, format+"\n", args...) }

func (l lines) Prepare(what string) { l.say("%s", what) }
func (l lines) Done()               {}

func (l lines) Round(contender string, round, rounds int, _ Load, record *recording) func() {
	begin := time.Now()
	tell := func() {
		elapsed := time.Since(begin)
		l.say("%s: %v, %s", turn(contender, round, rounds), elapsed.Round(100*time.Millisecond), standing(record, elapsed))
	}
	stop := every(lineInterval, tell)
	return func() {
		stop()
		tell()
	}
}

// bar draws on a terminal.
type bar struct {
	out   io.Writer
	shown *progressbar.ProgressBar
}

const barInterval = 200 * time.Millisecond

func (b *bar) show(most int64, options ...progressbar.Option) {
	b.Done()
	b.shown = progressbar.NewOptions64(most, append(options,
		progressbar.OptionSetWriter(b.out), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false), progressbar.OptionSetWidth(20), progressbar.OptionSetRenderBlankState(true))...)
}

func (b *bar) Prepare(what string) {
	b.show(-1, progressbar.OptionSetDescription(what), progressbar.OptionSetSpinnerChangeInterval(0)) // what it would start has no end
}

func (b *bar) Round(contender string, round, rounds int, load Load, record *recording) func() {
	most := load.Duration.Milliseconds()
	if load.Count > 0 {
		most = int64(load.Count)
	}
	name := turn(contender, round, rounds)
	b.show(most, progressbar.OptionSetDescription(name))
	begin := time.Now()
	return every(barInterval, func() {
		elapsed := time.Since(begin)
		done := elapsed.Milliseconds()
		if load.Count > 0 {
			done = int64(record.total())
		}
		b.shown.Describe(name + ": " + standing(record, elapsed))
		_ = b.shown.Set64(min(done, most-1)) // a terminal that is gone is nobody's loss
	})
}

func (b *bar) Done() {
	if b.shown != nil {
		_ = b.shown.Finish()
		b.shown = nil
	}
}
