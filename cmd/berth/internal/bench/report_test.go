package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); run the test with -update if that is right:\n%s", path, diff)
	}
}

// steady are so many requests, from 1 ms on, each a little slower than the one before.
func steady(requests int, step time.Duration, failures map[string]int) *series {
	s := newSeries()
	for i := range requests {
		s.latencies.RecordValue((time.Millisecond + time.Duration(i)*step).Microseconds())
	}
	for outcome, n := range failures {
		s.failures[outcome] = n
	}
	return s
}

// comparison is a result of two rounds.
func comparison(t *testing.T) *Result {
	t.Helper()
	mix, err := ParseMix("reserve")
	if err != nil {
		t.Fatal(err)
	}
	r := newResult(Config{
		URL: "http://127.0.0.1:8080", Mix: mix, Protocol: JSON, Rounds: 2,
		Load: Load{Connections: 64, Duration: time.Second},
	})
	r.Contenders = []Contender{{Name: "berth"}, {Name: "roof"}, {Name: "script"}}
	add := func(i, requests int, step time.Duration, store *spent, failures map[string]int) {
		r.Contenders[i].add(measured{
			elapsed: time.Second, whole: true, spent: store,
			series: map[string]*series{"CreatePlayerSession": steady(requests, step, failures)},
		})
	}
	add(0, 1000, 10*time.Microsecond, &spent{cpu: 40_000, scripts: 1000, script: 30_000}, map[string]int{full: 3, "timed out": 2})
	add(1, 2000, 2*time.Microsecond, nil, nil)
	add(2, 4000, time.Microsecond, &spent{cpu: 80_000, scripts: 4000, script: 60_000}, nil)
	add(0, 1200, 10*time.Microsecond, &spent{cpu: 60_000, scripts: 1200, script: 48_000}, nil)
	add(1, 2000, 2*time.Microsecond, nil, nil)
	add(2, 4000, time.Microsecond, &spent{cpu: 80_000, scripts: 4000, script: 60_000}, nil)
	r.conclude()
	return r
}

// openLoop is a result of a mix that fell behind its rate and was interrupted.
func openLoop(t *testing.T) *Result {
	t.Helper()
	mix, err := ParseMix("reserve=8,describe=2")
	if err != nil {
		t.Fatal(err)
	}
	r := newResult(Config{
		URL: "http://127.0.0.1:8080", Mix: mix, Protocol: CBOR, Rounds: 1,
		Load: Load{Connections: 2, Rate: 1500.5, Duration: time.Minute},
	})
	r.Interrupted = true
	r.Contenders = []Contender{{Name: "berth"}}
	r.Contenders[0].add(measured{
		elapsed: 2 * time.Second, unmade: 7,
		series: map[string]*series{
			"CreatePlayerSession":    steady(800, time.Microsecond, nil),
			"DescribePlayerSessions": steady(200, 0, map[string]int{"ThrottlingException": 1}),
		},
	})
	r.conclude()
	return r
}

func TestTableSaysWhatWasMeasured(t *testing.T) {
	for name, r := range map[string]*Result{"comparison": comparison(t), "openloop": openLoop(t)} {
		var text bytes.Buffer
		if err := r.WriteTable(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", text.String())
	}
}

func TestJSONSaysWhatWasMeasured(t *testing.T) {
	var text bytes.Buffer
	if err := comparison(t).WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "comparison.json", text.String())
	if !json.Valid(text.Bytes()) {
		t.Error("it is no JSON")
	}
}

func TestPlotDrawsEveryContender(t *testing.T) {
	var text bytes.Buffer
	if err := comparison(t).WritePlot(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "comparison.plot", text.String())
	if strings.Contains(text.String(), "\x1b") {
		t.Error("it has control characters")
	}
}

func TestNothingMeasuredIsReportedAsNothing(t *testing.T) {
	r := comparison(t)
	r.Contenders = []Contender{{Name: "berth"}, {Name: "roof"}}
	r.conclude()
	var text bytes.Buffer
	for _, write := range []func() error{
		func() error { return r.WriteTable(&text) },
		func() error { return r.WritePlot(&text) },
		func() error { return r.WriteJSON(&text) },
	} {
		if err := write(); err != nil {
			t.Error(err)
		}
	}
	if strings.Contains(text.String(), "NaN") || strings.Contains(text.String(), "÷") {
		t.Errorf("it says\n%s", &text)
	}
}

func TestFullAnswersAreCountedApartFromErrorsAndSuccesses(t *testing.T) {
	answers := []string{succeeded, full, succeeded, "InternalServiceException", full, succeeded}
	record := newRecording(2)
	for i, outcome := range answers {
		record.add(i%2, "CreatePlayerSession", outcome, 1000)
	}
	op := newOperation("CreatePlayerSession", record.series()["CreatePlayerSession"], 1)
	if op.Succeeded != 3 || op.Full != 2 || op.Errors != 1 || op.Latency.Max != 1 {
		t.Errorf("of %q there are %d successes, %d full and %d errors", answers, op.Succeeded, op.Full, op.Errors)
	}
}

func TestSpreadIsMedianLeastAndGreatest(t *testing.T) {
	for want, ratios := range map[Spread][]float64{
		{2, 1, 3}:   {3, 1, 2},
		{2.5, 1, 4}: {4, 3, 1, 2},
		{7, 7, 7}:   {7},
	} {
		if got := *spreadOf(ratios); got != want {
			t.Errorf("of %v it is %v, want %v", ratios, got, want)
		}
	}
}
