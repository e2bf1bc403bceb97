package bench

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// goOn tells of a run with a round of 12 s, in the time of a bubble of testing/synctest, which passes at once when all wait.
func goOn(p Progress) {
	p.Prepare("preparing")
	record := newRecording(1)
	ended := p.Round("berth", 2, 3, Load{Connections: 1, Duration: 12 * time.Second}, record)
	for i := range 12 {
		time.Sleep(time.Second)
		record.add(0, "CreatePlayerSession", succeeded, 2*time.Millisecond)
		if i == 6 {
			record.add(0, "CreatePlayerSession", full, time.Millisecond)
		}
	}
	ended()
	p.Prepare("cleaning up")
	p.Done()
}

func TestProgressInAPipeIsLinesOfText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		goOn(NewProgress(&text, false))
		lines := strings.Split(text.String(), "\n")
		if len(lines) != 6 || lines[0] != "preparing" || lines[4] != "cleaning up" ||
			!strings.HasPrefix(lines[1], "berth 2/3: 5s, 1/s, p50 2.00 ms, p99 2.00 ms") ||
			lines[3] != "berth 2/3: 12s, 1/s, p50 2.00 ms, p99 2.00 ms, 1 failed" {
			t.Errorf("it says\n%s", &text)
		}
		if strings.ContainsAny(text.String(), "\r\x1b\b") {
			t.Errorf("it has control characters: %q", &text)
		}
	})
}

func TestProgressOnATerminalMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		goOn(NewProgress(&text, true))
		for _, want := range []string{"\r", "preparing", "berth 2/3: 1/s, p50 2.00 ms, p99 2.00 ms, 1 failed", "cleaning up"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("it lacks %q:\n%q", want, &text)
			}
		}
		if strings.Contains(text.String(), "\n") {
			t.Errorf("it leaves lines behind:\n%q", &text)
		}
	})
}
