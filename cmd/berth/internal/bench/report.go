package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteJSON writes the result for programs.
func (r *Result) WriteJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(out io.Writer) error {
	var text bytes.Buffer
	fmt.Fprintln(&text, r.headline())
	text.WriteByte('\n')
	r.writeLatencies(&text)
	r.writeShortfalls(&text)
	r.writeStore(&text)
	r.writeRatios(&text)
	_, err := text.WriteTo(out)
	return err
}

// headline says what was measured.
func (r *Result) headline() string {
	loop := "closed loop"
	if r.Rate > 0 {
		loop = "open loop of " + strconv.FormatFloat(r.Rate, 'f', -1, 64) + " requests/s"
	}
	length := strconv.Itoa(r.Count) + " requests"
	if r.Count == 0 {
		length = time.Duration(r.Seconds * float64(time.Second)).String()
	}
	if r.Rounds > 1 {
		length = fmt.Sprintf("%d rounds of %s", r.Rounds, length)
	}
	text := fmt.Sprintf("%s over %s at %s: %s, %d connections, %s", r.Scenario, r.Protocol, r.URL, loop, r.Connections, length)
	if r.Interrupted {
		text += "; interrupted"
	}
	return text
}

// table is a table whose first column is on the left, and all others on the right.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(out *bytes.Buffer) {
	first := 0
	for _, row := range t.rows {
		first = max(first, len([]rune(row[0])))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range t.rows {
		_, _ = fmt.Fprintf(w, "%-*s\t%s\t\n", first, row[0], strings.Join(row[1:], "\t")) // a buffer takes everything
	}
	_ = w.Flush()
}

func (r *Result) writeLatencies(out *bytes.Buffer) {
	t := table{}
	t.row("", "requests/s", "succeeded", "full", "errors", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
	add := func(name string, op Operation) {
		l := op.Latency
		t.row(name, fmt.Sprintf("%.0f", op.PerSecond), strconv.Itoa(op.Succeeded), strconv.Itoa(op.Full), strconv.Itoa(op.Errors),
			ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	}
	for _, c := range r.Contenders {
		add(c.Name, c.Total)
		if len(c.Operations) > 1 {
			for _, op := range c.Operations {
				add("  "+op.Name, op)
			}
		}
	}
	t.write(out)
}

// ms writes µs as ms.
func ms(us int64) string { return fmt.Sprintf("%.2f", float64(us)/1000) }

// writeShortfalls says what did not succeed.
func (r *Result) writeShortfalls(out *bytes.Buffer) {
	for _, c := range r.Contenders {
		if c.Total.Unmade > 0 {
			fmt.Fprintf(out, "%s: %d requests were due and never made, because all connections were busy\n", c.Name, c.Total.Unmade)
		}
		outcomes := make([]string, 0, len(c.Total.Outcomes))
		for outcome := range c.Total.Outcomes {
			outcomes = append(outcomes, outcome)
		}
		slices.Sort(outcomes)
		for _, outcome := range outcomes {
			fmt.Fprintf(out, "%s: %d × %s\n", c.Name, c.Total.Outcomes[outcome], outcome)
		}
	}
}

// writeStore says what the store spent, if that is known.
func (r *Result) writeStore(out *bytes.Buffer) {
	t := table{}
	t.row("store", "CPU µs/request", "µs/script")
	for _, c := range r.Contenders {
		var cpu, script []float64
		for _, round := range c.Rounds {
			if round.Store == nil {
				continue
			}
			cpu = append(cpu, round.Store.CPU)
			if round.Store.Script > 0 {
				script = append(script, round.Store.Script)
			}
		}
		if cpu != nil {
			t.row(c.Name, median(cpu), median(script))
		}
	}
	if len(t.rows) > 1 {
		fmt.Fprintln(out)
		t.write(out)
	}
}

func median(of []float64) string {
	if of == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f", spreadOf(of).Median)
}

// writeRatios compares Berth with the others.
func (r *Result) writeRatios(out *bytes.Buffer) {
	t := table{}
	t.row("berth ÷", "requests/s", "p50", "p99", "store CPU", "script")
	for _, c := range r.Contenders {
		if c.Ratios != nil {
			t.row(c.Name, c.Ratios.PerSecond.String(), c.Ratios.P50.String(), c.Ratios.P99.String(), c.Ratios.CPU.String(), c.Ratios.Script.String())
		}
	}
	if len(t.rows) > 1 {
		fmt.Fprintln(out)
		t.write(out)
		fmt.Fprintln(out, "\nmedian of the rounds (least to greatest); more is better for requests/s, less for all else")
	}
}

// String is the median and, if it is of several, the range.
func (s *Spread) String() string {
	switch {
	case s == nil:
		return "–"
	case s.Min == s.Max:
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Min, s.Max)
}
