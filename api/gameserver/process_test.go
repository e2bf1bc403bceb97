package gameserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/berthgg/berth/api/gameserver"
)

func TestHeartbeatsFollowProcessReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		var healthy atomic.Bool
		healthy.Store(true)
		config.HealthCheck = healthy.Load
		p, peer := s.connect(config)
		peer.grants("ActivateServerProcess", func() error { return p.ProcessReady(t.Context(), 7777, nil) })

		last := time.Now()
		first := peer.request("HeartbeatServerProcess")
		if got := time.Since(last); got != 0 || first["HealthStatus"] != true {
			t.Errorf("the first heartbeat came after %v with %v", got, first)
		}
		peer.answer(first, nil)
		healthy.Store(false)
		intervals := map[time.Duration]bool{}
		for range 100 {
			request := peer.request("HeartbeatServerProcess")
			interval := time.Since(last)
			if interval < 50*time.Second || interval > 70*time.Second {
				t.Fatalf("heartbeats %v apart, want 60 ± 10 s", interval)
			}
			if request["HealthStatus"] != false {
				t.Fatalf("sent %v", request)
			}
			intervals[interval] = true
			last = time.Now()
			peer.answer(request, nil)
		}
		if len(intervals) < 50 {
			t.Errorf("100 heartbeats with %d different intervals: no jitter", len(intervals))
		}

		// A second ProcessReady makes no second heart, and ProcessEnding stops the one.
		peer.grants("ActivateServerProcess", func() error { return p.ProcessReady(t.Context(), 7777, nil) })
		request := peer.request("HeartbeatServerProcess")
		if got := time.Since(last); got < 50*time.Second {
			t.Errorf("a heartbeat after %v", got)
		}
		peer.answer(request, nil)
		peer.grants("TerminateServerProcess", func() error { return p.ProcessEnding(t.Context()) })
		passTime(time.Hour)
		if len(peer.messages) != 0 {
			t.Errorf("sent %s after its end", peer.raw())
		}
	})
}

func TestRefusedProcessHasNoHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, peer := newService(t).connectDefault()
		done := async(func() error { return p.ProcessReady(t.Context(), 7777, nil) })
		peer.answer(peer.request("ActivateServerProcess"), message{"StatusCode": 400, "ErrorMessage": "no such port"})
		fails(t, next(t, done), "no such port")
		passTime(time.Hour)
		if len(peer.messages) != 0 {
			t.Errorf("sent %s", peer.raw())
		}
	})
}

func TestUnansweredHeartbeatsDoNotEndHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		p, peer := s.connectDefault()
		peer.grants("ActivateServerProcess", func() error { return p.ProcessReady(t.Context(), 7777, nil) })
		peer.request("HeartbeatServerProcess")
		peer.request("HeartbeatServerProcess")
		peer = s.peer() // two in a row were not answered
		peer.answer(peer.request("HeartbeatServerProcess"), nil)
	})
}

func TestDroppedConnectionIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		var log bytes.Buffer
		config := s.config()
		config.Logger = slog.New(slog.NewTextHandler(&log, nil))
		p, peer := s.connect(config)
		peer.grants("ActivateServerProcess", func() error { return p.ProcessReady(t.Context(), 7777, nil) })
		peer.answer(peer.request("HeartbeatServerProcess"), nil)

		// Three requests wait for their answers; one is answered before the connection drops.
		var calls [3]<-chan error
		var sent [3]string
		for i := range calls {
			calls[i] = async(func() error { return p.AcceptPlayerSession(t.Context(), "gs", fmt.Sprint("psess-", i)) })
			sent[i] = peer.raw()
		}
		peer.answer(decode(t, sent[1]), nil)
		succeed(t, calls[1])
		peer.socket.CloseNow()

		again := s.peer()
		if again.uri != peer.uri {
			t.Errorf("connected to %s, then to %s", peer.uri, again.uri)
		}
		for _, i := range []int{0, 2} { // as they were, and no ActivateServerProcess
			if got := again.raw(); got != sent[i] {
				t.Errorf("sent %s, want %s again", got, sent[i])
			}
			again.answer(decode(t, sent[i]), nil)
			succeed(t, calls[i])
		}
		if got := again.request("HeartbeatServerProcess"); got["HealthStatus"] != true {
			t.Errorf("sent %v", got)
		}
		p.Close()
		if said := log.String(); !strings.Contains(said, "was lost") || !strings.Contains(said, "connected to the service again") {
			t.Errorf("the log says only %s", said)
		}
	})
}

func TestRequestMadeWhileDisconnectedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		p, peer := s.connectDefault()
		s.down.Store(true)
		p.Disconnect()
		if err := peer.end(); !dropped(err) {
			t.Errorf("the connection ended with %v", err)
		}
		synctest.Wait()
		done := async(func() error { return p.ActivateGameSession(t.Context(), "gs") })
		passTime(5 * time.Second)
		s.down.Store(false)
		peer = s.peer()
		peer.answer(peer.request("ActivateGameSession"), nil)
		succeed(t, done)

		s.down.Store(true)
		p.Disconnect()
		synctest.Wait()
		err := p.ActivateGameSession(t.Context(), "gs")
		fails(t, err, "not connected: cannot connect to service: nobody listens")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("failed with %v", err)
		}
	})
}

func TestReconnectsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		var failures []int
		config.Backoff = func(n int) time.Duration {
			failures = append(failures, n)
			if n == 4 {
				s.down.Store(false)
			}
			return time.Second
		}
		p, peer := s.connect(config)
		peer.send(`{"Action":"Dance"}`) // the service works
		synctest.Wait()
		s.down.Store(true)
		p.Disconnect()
		peer = s.peer()
		if diff := diff([]int{1, 2, 3, 4}, failures); diff != "" {
			t.Error(diff)
		}

		// A service that takes connections and drops them is backed off from too.
		failures = nil
		peer.socket.CloseNow()
		peer = s.peer()
		peer.socket.CloseNow()
		s.peer()
		if diff := diff([]int{1, 2}, failures); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDefaultBackoffGrowsUpTo8Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.down.Store(true)
		var at []time.Time
		config := s.config()
		config.DialContext = nil
		config.AuthToken, config.Attempts = "", 100
		config.Token = func(context.Context) (string, error) { at = append(at, time.Now()); return "", errors.New("none") }
		if _, err := gameserver.Connect(t.Context(), config); err == nil {
			t.Fatal("connected")
		}
		for i := 1; i < len(at); i++ {
			most := min(time.Second<<min(i-1, 10), 8*time.Second)
			if got := at[i].Sub(at[i-1]); got > most || got < most/2 {
				t.Errorf("waited for %v after %d failures, want %v to %v", got, i, most/2, most)
			}
		}
	})
}

func TestTwoUnansweredRequestsMakeItConnectAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		p, first := s.connectDefault()
		for range 2 {
			if err := p.ActivateGameSession(t.Context(), "gs"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("failed with %v", err)
			}
		}
		second := s.peer()
		first.raw()
		first.raw()
		if err := first.end(); !dropped(err) {
			t.Errorf("the first connection ended with %v", err)
		}
		second.grants("ActivateGameSession", func() error { return p.ActivateGameSession(t.Context(), "gs") })
	})
}

func TestAnswerBetweenTimeoutsKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		p, peer := s.connectDefault()
		for range 5 {
			if err := p.ActivateGameSession(t.Context(), "gs"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("failed with %v", err)
			}
			peer.request("ActivateGameSession")
			peer.grants("HeartbeatServerProcess", func() error { return p.Heartbeat(t.Context(), true) })
		}
		if got := s.dials.Load(); got != 1 {
			t.Errorf("connected %d times", got)
		}
	})
}

func TestFreshConnectionIsNotBlamedForOldRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		p, _ := s.connectDefault()
		s.down.Store(true)
		p.Disconnect()
		synctest.Wait()
		var calls []<-chan error
		for range 3 {
			calls = append(calls, async(func() error { return p.ActivateGameSession(t.Context(), "gs") }))
		}
		passTime(8 * time.Second)
		s.down.Store(false)
		s.peer()
		for _, call := range calls {
			if err := next(t, call); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("failed with %v", err)
			}
		}
		passTime(time.Minute)
		if len(s.accepted) != 0 {
			t.Error("connected once more")
		}
	})
}

func TestEveryRequestIsAnsweredThoughConnectionsDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		config.Backoff = func(int) time.Duration { return time.Millisecond }
		config.Logger = slog.New(slog.DiscardHandler)
		p, first := s.connect(config)
		s.accepted <- first

		ids := map[any]any{} // by player
		served := make(chan struct{})
		go func() {
			defer close(served)
			random := rand.New(rand.NewPCG(1, 2))
			for peer := range s.accepted {
				for text := range peer.messages {
					request := decode(t, text)
					player, id := request["PlayerId"], request["RequestId"]
					if was, again := ids[player]; again && was != id {
						t.Errorf("%v was asked for under %v and %v", player, was, id)
					}
					ids[player] = id
					if random.IntN(4) == 0 {
						peer.socket.CloseNow()
						break
					}
					answer := fmt.Sprintf(`{"Action":"DescribePlayerSessions","RequestId":%q,"StatusCode":200,"NextToken":%q}`, id, player)
					peer.socket.Write(context.Background(), websocket.MessageText, []byte(answer))
				}
			}
		}()

		var asking sync.WaitGroup
		for worker := range 20 {
			asking.Go(func() {
				for i := range 20 {
					player := fmt.Sprint("p", worker, "-", i)
					page, err := p.DescribePlayerSessions(t.Context(), gameserver.PlayerSessionQuery{PlayerID: player})
					if err != nil || page.NextToken != player {
						t.Errorf("%s: got %v, %v", player, page, err)
					}
				}
			})
		}
		asking.Wait()
		if len(ids) != 400 {
			t.Errorf("%d requests arrived, want 400", len(ids))
		}
		if s.dials.Load() < 20 {
			t.Errorf("only %d connections: nothing was tried", s.dials.Load())
		}
		p.Close()
		close(s.accepted)
		<-served
	})
}

func TestCloseOfAStalledConnection(t *testing.T) {
	for dialect, most := range map[gameserver.Dialect]time.Duration{gameserver.Go: 0, gameserver.Cpp: 5 * time.Second, gameserver.CSharp: 0} {
		t.Run(dialect.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				s.stalled = true
				config := s.config()
				config.Dialect = dialect
				p, _ := s.connect(config)
				waiting := async(func() error { return p.ActivateGameSession(t.Context(), "gs") })
				synctest.Wait()
				start := time.Now()
				p.Close()
				if got := time.Since(start); got > most {
					t.Errorf("Close took %v, want %v at most", got, most)
				}
				if err := next(t, waiting); !errors.Is(err, gameserver.ErrClosed) {
					t.Errorf("the waiting request failed with %v", err)
				}
			})
		})
	}
}

func TestCloseFrameOfTheServiceIsFinalForSome(t *testing.T) {
	for _, test := range []struct {
		dialect gameserver.Dialect
		status  websocket.StatusCode
		final   bool
	}{
		{gameserver.Go, websocket.StatusNormalClosure, false},
		{gameserver.Go, websocket.StatusGoingAway, false},
		{gameserver.Cpp, websocket.StatusNormalClosure, true},
		{gameserver.Cpp, websocket.StatusGoingAway, true},
		{gameserver.Cpp, websocket.StatusServiceRestart, false},
		{gameserver.CSharp, websocket.StatusGoingAway, true},
		{gameserver.CSharp, websocket.StatusServiceRestart, false},
	} {
		t.Run(fmt.Sprint(test.dialect, " ", test.status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				config := s.config()
				config.Dialect = test.dialect
				p, peer := s.connect(config)
				waiting := async(func() error { return p.ActivateGameSession(t.Context(), "gs") })
				peer.request("ActivateGameSession")
				if err := peer.socket.Close(test.status, "over"); err != nil {
					t.Error(err)
				}
				if test.final {
					err := next(t, waiting)
					if !errors.Is(err, gameserver.ErrClosed) || websocket.CloseStatus(err) != test.status {
						t.Errorf("failed with %v", err)
					}
					if err := p.Heartbeat(t.Context(), true); !errors.Is(err, gameserver.ErrClosed) {
						t.Errorf("later failed with %v", err)
					}
					return
				}
				peer = s.peer()
				peer.answer(peer.request("ActivateGameSession"), nil)
				succeed(t, waiting)
			})
		})
	}
}

func TestCloseDropsTheConnection(t *testing.T) {
	for dialect, want := range map[gameserver.Dialect]websocket.StatusCode{
		gameserver.Go: -1, gameserver.Cpp: websocket.StatusGoingAway, gameserver.CSharp: -1,
	} {
		t.Run(dialect.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				config := s.config()
				config.Dialect = dialect
				p, peer := s.connect(config)
				waiting := async(func() error { return p.ActivateGameSession(t.Context(), "gs") })
				peer.request("ActivateGameSession")
				start := time.Now()
				p.Close()
				if got := time.Since(start); got != 0 {
					t.Errorf("Close took %v", got)
				}
				err := peer.end()
				if got := websocket.CloseStatus(err); got != want {
					t.Errorf("the connection ended with %v, want the close status %d", err, want)
				}
				if closed, ok := errors.AsType[websocket.CloseError](err); ok && closed.Reason != "Websocket client closing" {
					t.Errorf("it said %q", closed.Reason)
				}
				if err := next(t, waiting); !errors.Is(err, gameserver.ErrClosed) {
					t.Errorf("the waiting request failed with %v", err)
				}
				if err := p.Heartbeat(t.Context(), true); !errors.Is(err, gameserver.ErrClosed) {
					t.Errorf("a later one failed with %v", err)
				}
				p.Close() // again
			})
		})
	}
}

func TestCloseWhileDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		p, _ := s.connectDefault()
		s.down.Store(true)
		p.Disconnect()
		passTime(time.Minute)
		start := time.Now()
		p.Close()
		if got := time.Since(start); got != 0 {
			t.Errorf("Close took %v", got)
		}
	})
}

func TestConnectionIsRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		p, old := s.connectDefault()
		waiting := async(func() error { return p.ActivateGameSession(t.Context(), "gs") })
		sent := old.raw()
		old.send(`{"Action":"RefreshConnection","RefreshConnectionEndpoint":"ws://elsewhere/sdk?x=y","AuthToken":"tok-2"}`)

		fresh := s.peer()
		if fresh.query.Get("Authorization") != "tok-2" || fresh.query.Has("x") || fresh.query.Get("pID") != "proc-1" {
			t.Errorf("connected to %s", fresh.uri)
		}
		if fresh.query.Get("IdempotencyToken") == old.query.Get("IdempotencyToken") {
			t.Error("the idempotency token is still the old endpoint's")
		}
		if got := fresh.raw(); got != sent {
			t.Errorf("sent %s, want %s", got, sent)
		}
		fresh.answer(decode(t, sent), nil)
		succeed(t, waiting)
		if err := old.end(); !dropped(err) {
			t.Errorf("the old connection ended with %v", err)
		}

		// From now on that is where it connects to.
		fresh.socket.CloseNow()
		if again := s.peer(); again.uri != fresh.uri {
			t.Errorf("connected to %s, want %s", again.uri, fresh.uri)
		}
	})
}

func TestRefreshToADeadEndpointChangesNothing(t *testing.T) {
	for _, endpoint := range []string{"ws://elsewhere", "http://service", ""} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t)
			p, peer := s.connectDefault()
			s.down.Store(true)
			peer.send(fmt.Sprintf(`{"Action":"RefreshConnection","RefreshConnectionEndpoint":%q,"AuthToken":"tok-2"}`, endpoint))
			synctest.Wait()
			s.down.Store(false)
			peer.grants("HeartbeatServerProcess", func() error { return p.Heartbeat(t.Context(), true) })
			peer.socket.CloseNow()
			if again := s.peer(); again.uri != peer.uri {
				t.Errorf("connected to %s, want %s", again.uri, peer.uri)
			}
		})
	}
}
