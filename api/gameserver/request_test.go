package gameserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/berthgg/berth/api/gameserver"
)

func TestRefusalIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, peer := newService(t).connectDefault()
		done := async(func() error { return p.AcceptPlayerSession(t.Context(), "gs", "psess-bad") })
		id := peer.request("AcceptPlayerSession")["RequestId"]
		peer.send(fmt.Sprintf(`{"Action":"AcceptPlayerSession","ErrorMessage":"Player session psess-bad not found.","RequestId":%q,"StatusCode":404}`, id))
		err := next(t, done)
		var refusal *gameserver.Error
		if !errors.As(err, &refusal) {
			t.Fatalf("failed with %v", err)
		}
		if *refusal != (gameserver.Error{Action: "AcceptPlayerSession", StatusCode: 404, Message: "Player session psess-bad not found."}) {
			t.Errorf("failed with %+v", refusal)
		}
		fails(t, err, "AcceptPlayerSession was refused (404): Player session psess-bad not found.")
	})
}

func TestAnswerMustBeWhole(t *testing.T) {
	for _, test := range []struct{ members, want string }{
		{`"Action":"DescribePlayerSessions","StatusCode":200,"PlayerSessions":[]`, ""},
		{`"StatusCode":200`, `names the action ""`},
		{`"Action":"AcceptPlayerSession","StatusCode":200`, `names the action "AcceptPlayerSession"`},
		{`"Action":"DescribePlayerSessions"`, "has no StatusCode"},
		{`"Action":"DescribePlayerSessions","StatusCode":null`, "has no StatusCode"},
		{`"Action":"DescribePlayerSessions","StatusCode":429,"ErrorMessage":null`, "was refused (429)"},
		{`"Action":"DescribePlayerSessions","StatusCode":200,"PlayerSessions":[{"CreationTime":1700000000.123}]`, "cannot be read"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, peer := newService(t).connectDefault()
			done := async(func() error {
				_, err := p.DescribePlayerSessions(t.Context(), gameserver.PlayerSessionQuery{GameSessionID: "gs"})
				return err
			})
			id := peer.request("DescribePlayerSessions")["RequestId"]
			peer.send(fmt.Sprintf(`{"RequestId":%q,%s}`, id, test.members))
			err := next(t, done)
			if test.want == "" && err != nil {
				t.Errorf("%s: failed with %v", test.members, err)
			}
			if test.want != "" {
				fails(t, err, test.want)
			}
		})
	}
}

func TestAnswersFindTheirRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, peer := newService(t).connectDefault()
		const n = 50
		pages := make(chan error, n)
		for i := range n {
			go func() {
				player := fmt.Sprint("p", i)
				page, err := p.DescribePlayerSessions(t.Context(), gameserver.PlayerSessionQuery{PlayerID: player})
				if err == nil && page.NextToken != player {
					err = fmt.Errorf("%s got the answer for %s", player, page.NextToken)
				}
				pages <- err
			}()
		}
		var requests []message
		for range n {
			requests = append(requests, peer.request("DescribePlayerSessions"))
		}
		for i := range n { // the last first
			request := requests[n-1-i]
			peer.answer(request, message{"NextToken": request["PlayerId"]})
		}
		for range n {
			if err := next(t, pages); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAnswerMayBeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, peer := newService(t).connectDefault()
		var page gameserver.PlayerSessionPage
		done := async(func() (err error) {
			page, err = p.DescribePlayerSessions(t.Context(), gameserver.PlayerSessionQuery{GameSessionID: "gs"})
			return err
		})
		sessions := make([]message, 1024)
		for i := range sessions {
			sessions[i] = message{"PlayerData": strings.Repeat("d", 2048)}
		}
		peer.answer(peer.request("DescribePlayerSessions"), message{"PlayerSessions": sessions})
		succeed(t, done)
		if len(page.PlayerSessions) != len(sessions) {
			t.Errorf("got %d player sessions", len(page.PlayerSessions))
		}
	})
}

func TestUnansweredRequestTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, peer := newService(t).connectDefault()
		start := time.Now()
		err := p.ActivateGameSession(t.Context(), "gs")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("failed with %v", err)
		}
		if got := time.Since(start); got != 20*time.Second {
			t.Errorf("timed out after %v", got)
		}
		// An answer that comes too late is passed over.
		peer.answer(peer.request("ActivateGameSession"), nil)
		peer.grants("HeartbeatServerProcess", func() error { return p.Heartbeat(t.Context(), true) })
	})
}

func TestRequestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, peer := newService(t).connectDefault()
		ctx, cancel := context.WithCancel(t.Context())
		done := async(func() error { return p.ActivateGameSession(ctx, "gs") })
		peer.request("ActivateGameSession")
		cancel()
		if err := next(t, done); !errors.Is(err, context.Canceled) {
			t.Errorf("failed with %v", err)
		}
	})
}

func TestCppResendsWhatIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		config.Dialect, config.RequestTimeout = gameserver.Cpp, time.Second
		config.Backoff = func(int) time.Duration { return 0 }
		p, peer := s.connect(config)
		start := time.Now()
		done := async(func() error { return p.ActivateGameSession(t.Context(), "gs") })
		first := peer.raw()
		if second := peer.raw(); second != first {
			t.Errorf("sent %s, then %s", first, second)
		}
		// The second timeout in a row makes it connect again, and then a third time.
		peer = s.peer()
		peer.raw()
		peer.raw()
		peer = s.peer()
		peer.raw()
		if again := peer.raw(); again != first {
			t.Errorf("sent %s, at last %s", first, again)
		}
		if err := next(t, done); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("failed with %v", err)
		}
		if got := time.Since(start); got != 6*time.Second {
			t.Errorf("gave up after %v, want six times the timeout", got)
		}
	})
}

func TestRawRequestHasTheChosenID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, peer := newService(t).connectDefault()
		request := gameserver.Request{Action: "Dance", RequestID: "mine", Members: []gameserver.Member{{"Style", "waltz"}, {"Nothing", nil}}}
		var answer []byte
		done := async(func() (err error) { answer, err = p.Do(t.Context(), request); return err })
		if got, want := peer.raw(), `{"Action":"Dance","RequestId":"mine","Style":"waltz"}`; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
		_, err := p.Do(t.Context(), request)
		fails(t, err, `"mine" is waiting`)

		const text = `{"Action":"Dance","RequestId":"mine","StatusCode":200,"Steps":[1]}`
		peer.send(text)
		succeed(t, done)
		if string(answer) != text {
			t.Errorf("the answer is %s", answer)
		}
		_, err = p.Do(t.Context(), gameserver.Request{Action: "Dance", Members: []gameserver.Member{{"Style", func() {}}}})
		fails(t, err, "Dance cannot be encoded")
	})
}

func TestBinaryMessageIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		config.OnProcessTerminate = func(context.Context, *gameserver.Process, time.Time) { t.Error("it is told to end") }
		p, peer := s.connect(config)
		if err := peer.socket.Write(t.Context(), websocket.MessageBinary, []byte(`{"Action":"TerminateProcess"}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		peer.grants("HeartbeatServerProcess", func() error { return p.Heartbeat(t.Context(), true) })
	})
}

func TestTraceSeesBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		var traced []string
		config.Trace = func(direction gameserver.Direction, text []byte) {
			traced = append(traced, direction.String()+" "+string(text))
		}
		p, peer := s.connect(config)
		done := async(func() error { return p.ActivateGameSession(t.Context(), "gs") })
		sent := peer.raw()
		id := decode(t, sent)["RequestId"]
		received := fmt.Sprintf(`{"Action":"ActivateGameSession","RequestId":%q,"StatusCode":200}`, id)
		peer.send(received)
		succeed(t, done)
		if got, want := strings.Join(traced, "\n"), "<- "+sent+"\n-> "+received; got != want {
			t.Errorf("traced\n%s\nwant\n%s", got, want)
		}
	})
}

func TestCSharpPingsBeforeItSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		pinged := 0
		s.pinged = func() { pinged++ }
		config := s.config()
		config.Dialect = gameserver.CSharp
		p, peer := s.connect(config)
		for range 2 {
			peer.grants("HeartbeatServerProcess", func() error { return p.Heartbeat(t.Context(), true) })
		}
		if pinged != 2 {
			t.Errorf("%d pings for 2 requests", pinged)
		}
	})
}
