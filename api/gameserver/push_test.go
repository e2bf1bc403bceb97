package gameserver_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthgg/berth/api/gameserver"
)

const createGameSession = `{"Action":"CreateGameSession","DnsName":"localhost","GameProperties":{"k":"v"},"GameSessionData":"d","GameSessionId":%q,` +
	`"GameSessionName":"n","IpAddress":"127.0.0.1","MatchmakerData":"{}","MaximumPlayerSessionCount":10,"Port":7777}`

func created(id string) gameserver.GameSession {
	return gameserver.GameSession{
		GameSessionID: id, Name: "n", MaximumPlayerSessionCount: 10, IPAddress: "127.0.0.1", Port: 7777, DNSName: "localhost",
		GameSessionData: "d", MatchmakerData: "{}", GameProperties: map[string]string{"k": "v"},
	}
}

func TestGameSessionIsHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		started := make(chan gameserver.GameSession, 1)
		config.OnStartGameSession = func(ctx context.Context, p *gameserver.Process, session gameserver.GameSession) {
			if err := p.ActivateGameSession(ctx, session.GameSessionID); err != nil {
				t.Error(err)
			}
			started <- session
		}
		_, peer := s.connect(config)
		peer.send(fmt.Sprintf(createGameSession, "gs"))
		request := peer.request("ActivateGameSession")
		if request["GameSessionId"] != "gs" {
			t.Errorf("sent %v", request)
		}
		peer.answer(request, nil)
		if diff := diff(created("gs"), next(t, started)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNullsOfAPushAreNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		started := make(chan gameserver.GameSession, 1)
		config.OnStartGameSession = func(_ context.Context, _ *gameserver.Process, session gameserver.GameSession) { started <- session }
		_, peer := s.connect(config)
		peer.send(`{"Action":"CreateGameSession","RequestId":null,"GameSessionId":"gs","GameSessionName":null,"GameSessionData":null,"MatchmakerData":null,` +
			`"MaximumPlayerSessionCount":null,"IpAddress":null,"Port":null,"DnsName":null,"GameProperties":null,"Further":[1]}`)
		if diff := diff(gameserver.GameSession{GameSessionID: "gs"}, next(t, started)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestGameSessionIsHandedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		started := make(chan string, 100)
		config.OnStartGameSession = func(_ context.Context, _ *gameserver.Process, session gameserver.GameSession) {
			started <- session.GameSessionID
		}
		p, peer := s.connect(config)
		peer.send(fmt.Sprintf(createGameSession, "first"))
		peer.send(fmt.Sprintf(createGameSession, "first"))
		if got := next(t, started); got != "first" {
			t.Errorf("started %s", got)
		}
		p.Disconnect()
		peer = s.peer()
		peer.send(fmt.Sprintf(createGameSession, "first"))
		peer.send(fmt.Sprintf(createGameSession, "second"))
		if got := next(t, started); got != "second" {
			t.Errorf("then started %s, want second", got)
		}
	})
}

func TestGameSessionUpdateIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		updated := make(chan gameserver.GameSessionUpdate, 1)
		config.OnUpdateGameSession = func(_ context.Context, _ *gameserver.Process, update gameserver.GameSessionUpdate) { updated <- update }
		_, peer := s.connect(config)
		peer.send(`{"Action":"UpdateGameSession","GameSession":{"GameSessionId":"gs","Name":"n","FleetId":"fleet-1","MaximumPlayerSessionCount":10,` +
			`"IpAddress":"127.0.0.1","Port":7777,"DnsName":"localhost","GameSessionData":"d","MatchmakerData":"{}","GameProperties":{"k":"v"},` +
			`"Location":"custom-1","Status":"ACTIVE","StatusReason":"INTERRUPTED"},"UpdateReason":"BACKFILL_TIMED_OUT","BackfillTicketId":"ticket-1"}`)
		session := created("gs")
		session.FleetID, session.Location, session.Status, session.StatusReason = "fleet-1", "custom-1", "ACTIVE", "INTERRUPTED"
		want := gameserver.GameSessionUpdate{GameSession: session, Reason: gameserver.BackfillTimedOut, BackfillTicketID: "ticket-1"}
		if diff := diff(want, next(t, updated)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTerminationIsToldWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		terminated := make(chan time.Time, 1)
		config.OnProcessTerminate = func(ctx context.Context, p *gameserver.Process, at time.Time) {
			if err := p.ProcessEnding(ctx); err != nil {
				t.Error(err)
			}
			p.Close() // a handler may
			terminated <- at
		}
		_, peer := s.connect(config)
		peer.send(`{"Action":"TerminateProcess","TerminationTime":1795377005451}`)
		peer.answer(peer.request("TerminateServerProcess"), nil)
		if got, want := next(t, terminated), time.UnixMilli(1795377005451); !got.Equal(want) {
			t.Errorf("the process ends at %v, want %v", got, want)
		}
		if err := peer.end(); !dropped(err) {
			t.Errorf("the connection ended with %v", err)
		}
	})
}

func TestHandlersAreCalledInOrderAndApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		release := make(chan struct{})
		started := make(chan string, 100)
		terminated := make(chan time.Time, 1)
		config.OnStartGameSession = func(_ context.Context, _ *gameserver.Process, session gameserver.GameSession) {
			<-release
			started <- session.GameSessionID
		}
		config.OnProcessTerminate = func(_ context.Context, _ *gameserver.Process, at time.Time) { terminated <- at }
		p, peer := s.connect(config)
		for i := range 20 {
			peer.send(fmt.Sprintf(createGameSession, fmt.Sprint("gs-", i)))
		}
		peer.send(`{"Action":"TerminateProcess","TerminationTime":0}`)
		if at := next(t, terminated); !at.IsZero() { // while a game session is being started
			t.Errorf("terminated at %v", at)
		}
		peer.grants("HeartbeatServerProcess", func() error { return p.Heartbeat(t.Context(), true) })

		close(release)
		for i := range 20 {
			if got, want := next(t, started), fmt.Sprint("gs-", i); got != want {
				t.Fatalf("started %s, want %s", got, want)
			}
		}
	})
}

func TestNoHandlerIsCalledAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		started := make(chan context.Context, 100)
		config.OnStartGameSession = func(ctx context.Context, _ *gameserver.Process, _ gameserver.GameSession) {
			started <- ctx
			<-ctx.Done()
		}
		p, peer := s.connect(config)
		peer.send(fmt.Sprintf(createGameSession, "first"))
		peer.send(fmt.Sprintf(createGameSession, "second"))
		next(t, started)
		synctest.Wait()
		p.Close()
		synctest.Wait()
		if len(started) != 0 {
			t.Error("the second game session was started after Close")
		}
	})
}

func TestWhatIsNoPushIsPassedOver(t *testing.T) {
	push := fmt.Sprintf(createGameSession, "gs")
	withID := func(id string) string { return `{"RequestId":"` + id + `",` + push[1:] }
	for _, test := range []struct {
		name    string
		dialect gameserver.Dialect
		text    string
		started bool
	}{
		{"a push", gameserver.Go, push, true},
		{"with a RequestId", gameserver.Go, withID("r1"), false},
		{"with a RequestId", gameserver.Cpp, withID("r1"), false},
		{"with an empty RequestId", gameserver.Go, withID(""), true},
		{"with an empty RequestId", gameserver.CSharp, withID(""), false},
		{"names in lower case", gameserver.Go, `{"action":"CreateGameSession","gamesessionid":"gs"}`, true},
		{"names in lower case", gameserver.Cpp, `{"action":"CreateGameSession","gamesessionid":"gs"}`, false},
		{"a list of properties", gameserver.Go, `{"Action":"CreateGameSession","GameSessionId":"gs","GameProperties":[{"Key":"k","Value":"v"}]}`, false},
		{"an unknown action", gameserver.Go, `{"Action":"Dance"}`, false},
		{"no JSON", gameserver.Go, `{`, false},
	} {
		t.Run(test.dialect.String()+" "+test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				config := s.config()
				config.Dialect = test.dialect
				started := make(chan string, 1)
				config.OnStartGameSession = func(_ context.Context, _ *gameserver.Process, session gameserver.GameSession) {
					started <- session.GameSessionID
				}
				p, peer := s.connect(config)
				peer.send(test.text)
				synctest.Wait()
				if got := len(started) == 1; got != test.started {
					t.Errorf("started: %v, want %v", got, test.started)
				}
				// The connection lives on.
				peer.grants("HeartbeatServerProcess", func() error { return p.Heartbeat(t.Context(), true) })
			})
		})
	}
}
