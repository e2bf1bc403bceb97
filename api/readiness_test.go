package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/berthgg/berth/api"
)

func get(t *testing.T, h http.Handler, path string) reply {
	t.Helper()
	request := awsJSON.request("", nil)
	request.Method, request.URL.Path = http.MethodGet, path
	r := awsJSON.send(t, h, request)
	if r.header.Get("x-amzn-RequestId") == "" {
		t.Errorf("%s names no request", path)
	}
	return r
}

func TestServiceIsReadyWhileItsStoreAnswers(t *testing.T) {
	s := newService(t)
	game := s.newGameSession(10)
	is := func(ready bool) {
		t.Helper()
		readyStatus, callStatus := http.StatusOK, http.StatusOK
		if !ready {
			readyStatus, callStatus = http.StatusServiceUnavailable, http.StatusInternalServerError
		}
		if r := get(t, s, "/readyz"); r.status != readyStatus {
			t.Errorf("/readyz: %d %s, want %d", r.status, r.body, readyStatus)
		}
		if r := get(t, s, "/healthz"); r.status != http.StatusOK {
			t.Errorf("/healthz: %d %s, want 200", r.status, r.body)
		}
		r := awsJSON.call(t, s, "CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "alice"})
		if r.status != callStatus {
			t.Errorf("a call: %d %s, want %d", r.status, r.body, callStatus)
		}
		if !ready && !strings.Contains(r.text("Message"), "the store is unavailable") {
			t.Errorf("a call is told %q", r.text("Message"))
		}
	}
	is(true)
	s.outage.set(down)
	is(false)
	is(false)
	s.outage.set(none)
	is(true)
}

func TestReadsFailWhileTheStoreIsDown(t *testing.T) {
	s := newService(t)
	inputs := make(map[string]members)
	for _, operation := range api.Operations() {
		inputs[operation] = s.validInput(operation)
	}
	s.outage.set(down)
	eachWire(t, func(t *testing.T, w wire) {
		for operation, input := range inputs {
			r := w.call(t, s, operation, input)
			if r.status != http.StatusInternalServerError || !strings.Contains(r.text("Message"), "the store is unavailable; nothing was changed") {
				t.Errorf("%s: %d %q", operation, r.status, r.body)
			}
		}
	})
}

func TestReadinessCanBeDecidedByWhoRunsTheService(t *testing.T) {
	var reason error
	h := api.New(api.Config{Ready: func(context.Context) error { return reason }})
	if r := get(t, h, "/readyz"); r.status != http.StatusOK || r.body != "ready\n" {
		t.Errorf("%d %q", r.status, r.body)
	}
	reason = errors.New("shutting down")
	if r := get(t, h, "/readyz"); r.status != http.StatusServiceUnavailable || r.body != "not ready: shutting down\n" {
		t.Errorf("%d %q", r.status, r.body)
	}
}
