package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"text/template"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/api/gameserver"
	"github.com/berthgg/berth/cmd/internal/chat"
)

const (
	demoLocation = "custom-demo"
	demoCompute  = "demo-host"
	demoSlots    = 4
	// demoTimeout is how long the sample game server may take to host its game session, and its fleet to be deleted in the end.
	demoTimeout = 30 * time.Second
	// demoInterval is how often to look how far it is.
	demoInterval = 10 * time.Millisecond
)

// demo is an ACTIVE game session with a few slots, on a sample game server if there is to be one.
type demo struct {
	slots  *allocator.Allocator
	addr   string // of the service
	tls    bool
	region string
	log    *slog.Logger

	fleet   allocator.FleetID
	game    *allocator.GameSession
	players string // where players of the sample game server come
	stop    func() // stops it; nil if there is none
	running sync.WaitGroup
	ended   chan struct{} // closed when it has ended
}

// create creates the game session.
func (d *demo) create(ctx context.Context) (err error) {
	if err := d.createFleet(ctx, "demo", "127.0.0.1", "localhost"); err != nil {
		return err
	}
	d.game, err = d.createGameSession(ctx)
	return err
}

// createOnServer starts the sample game server, creates the game session and waits until it is ACTIVE on it. Also when it fails, there is
// something to end.
func (d *demo) createOnServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTimeout, fmt.Errorf("the sample game server has no ACTIVE game session after %v", demoTimeout))
	defer cancel()
	host, _, err := net.SplitHostPort(d.addr)
	if err != nil {
		return err
	}
	d.stop = func() {}
	if err := d.createFleet(ctx, "demo-server", host, ""); err != nil {
		return err
	}
	if err := d.startServer(ctx, host); err != nil {
		return err
	}
	err = d.until(ctx, func() (bool, error) {
		d.game, err = d.createGameSession(ctx)
		if errors.Is(err, allocator.ErrFleetCapacityExceeded) { // until the game server has reported to be healthy
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return err
	}
	return d.until(ctx, func() (bool, error) {
		found, err := d.slots.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{GameSessionID: d.game.ID})
		if err != nil {
			return false, err
		}
		switch status := found.GameSessions[0].Status; status {
		case allocator.GameSessionActivating:
			return false, nil
		case allocator.GameSessionActive:
			return true, nil
		default:
			return false, fmt.Errorf("the game session of the sample game server is %s", status)
		}
	})
}

func (d *demo) createFleet(ctx context.Context, name, ip, dns string) error {
	_, err := d.slots.CreateLocation(ctx, allocator.CreateLocationInput{Name: demoLocation})
	if err != nil && !errors.Is(err, allocator.ErrConflict) { // it may be there from an earlier demo
		return err
	}
	fleet, err := d.slots.CreateFleet(ctx, allocator.CreateFleetInput{Name: name, Locations: []string{demoLocation}})
	if err != nil {
		return err
	}
	d.fleet = fleet.ID
	_, err = d.slots.RegisterCompute(ctx, allocator.RegisterComputeInput{
		FleetID: d.fleet, Name: demoCompute, Location: demoLocation, IPAddress: ip, DNSName: dns,
	})
	return err
}

func (d *demo) createGameSession(ctx context.Context) (*allocator.GameSession, error) {
	return d.slots.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: d.fleet, Name: "demo", MaximumPlayerSessionCount: demoSlots})
}

// startServer starts the sample game server, which connects to the service as any would.
func (d *demo) startServer(ctx context.Context, host string) error {
	token, err := d.slots.GetComputeAuthToken(ctx, d.fleet, demoCompute)
	if err != nil {
		return err
	}
	listener, err := chat.Listen(net.JoinHostPort(host, "0"))
	if err != nil {
		return err
	}
	process := gameserver.Config{
		URL: "ws://" + d.addr + "/server-sdk", FleetID: string(d.fleet), ComputeName: demoCompute, AuthToken: token.Token, Logger: d.log,
	}
	if d.tls {
		process.URL = "wss://" + d.addr + "/server-sdk"
		process.TLS = &tls.Config{InsecureSkipVerify: true} // it is this very service, mostly at an address that is not in its certificate
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	defer context.AfterFunc(ctx, stop)() // while it starts
	server, err := chat.Start(life, chat.Config{Process: process, Listener: listener, Logger: d.log})
	if err != nil {
		return fmt.Errorf("the sample game server does not start: %w", err)
	}
	d.players, d.ended = listener.Addr().String(), make(chan struct{})
	d.running.Go(func() {
		defer close(d.ended)
		if err := server.Wait(); err != nil {
			d.log.Error("the sample game server has failed", "error", err)
		}
	})
	return nil
}

// until waits until something is done, while the sample game server runs.
func (d *demo) until(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(demoInterval)
	defer ticker.Stop()
	for {
		switch ok, err := done(); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case ok || err != nil:
			return err
		}
		select {
		case <-ticker.C:
		case <-d.ended:
			return errors.New("the sample game server has ended")
		case <-ctx.Done():
		}
	}
}

// end ends the game session, on the sample game server if there is one, and deletes its fleet. The game session stays readable.
func (d *demo) end() {
	if d.stop != nil {
		d.stop()
		d.running.Wait()
	}
	if d.fleet == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), demoTimeout)
	defer cancel()
	if err := d.deleteFleet(ctx); err != nil {
		d.log.Warn("the fleet of the demo stays", "fleet", d.fleet, "error", err)
	}
}

func (d *demo) deleteFleet(ctx context.Context) error {
	if d.stop == nil && d.game != nil {
		_, err := d.slots.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: d.game.ID, Mode: allocator.ForceTerminate})
		if err != nil && !errors.Is(err, allocator.ErrNotFound) && !errors.Is(err, allocator.ErrInvalidGameSessionStatus) { // it has ended
			return err
		}
	}
	return d.slots.DeleteFleet(ctx, d.fleet)
}

// print prints commands to try the game session with. Over TLS they do not verify the certificate, which need not be of the address.
func (d *demo) print(out io.Writer) error {
	values := map[string]any{
		"Endpoint": "http://" + d.addr, "TLS": d.tls, "Region": d.region, "GameSession": d.game.ID, "Slots": d.game.MaximumPlayerSessionCount,
	}
	if d.tls {
		values["Endpoint"] = "https://" + d.addr
	}
	text := demoText
	if d.players != "" {
		host, port, err := net.SplitHostPort(d.players)
		if err != nil {
			return err
		}
		values["Host"], values["Port"] = host, port
		text = demoServerText
	}
	return template.Must(template.New("demo").Parse(text)).Execute(out, values)
}

const demoText = `
Berth is serving at {{.Endpoint}}, with a game session of {{.Slots}} slots. In another terminal:

  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION={{.Region}}
  export GAME={{.GameSession}}

Reserve a slot with the aws CLI, or with curl:

  aws gamelift create-player-session --endpoint-url {{.Endpoint}}{{if .TLS}} --no-verify-ssl{{end}} --game-session-id $GAME --player-id alice

  curl -s{{if .TLS}}k{{end}} {{.Endpoint}} -H 'Content-Type: application/x-amz-json-1.1' -H 'X-Amz-Target: GameLift.CreatePlayerSession' \
    -d '{"GameSessionId":"'$GAME'","PlayerId":"bob"}'

Accept it, as the game server does when the player connects. Put in a PlayerSessionId that you were given:

  export PLAYER_SESSION=psess-…
  curl -s{{if .TLS}}k{{end}} {{.Endpoint}} -H 'Content-Type: application/x-amz-json-1.1' -H 'X-Amz-Target: GameLift.AcceptPlayerSession' \
    -d '{"GameSessionId":"'$GAME'","PlayerSessionId":"'$PLAYER_SESSION'"}'

See who holds a slot, and how many are taken. What is not accepted in time is TIMEDOUT and its slot free again:

  aws gamelift describe-player-sessions --endpoint-url {{.Endpoint}}{{if .TLS}} --no-verify-ssl{{end}} --game-session-id $GAME
  aws gamelift describe-game-sessions --endpoint-url {{.Endpoint}}{{if .TLS}} --no-verify-ssl{{end}} --game-session-id $GAME

With --demo-server in place of --demo, a game server accepts the players, and you can play.

Stop with Ctrl-C.
`

const demoServerText = `
Berth is serving at {{.Endpoint}}, with a game session of {{.Slots}} slots on a sample game server: a chat room. In another terminal reserve a
slot, and take it to the game server. Do the same in a third one, as bob:

  export PLAYER=alice
  export PLAYER_SESSION=$(curl -s{{if .TLS}}k{{end}} {{.Endpoint}} -H 'Content-Type: application/x-amz-json-1.1' -H 'X-Amz-Target: GameLift.CreatePlayerSession' \
    -d '{"GameSessionId":"{{.GameSession}}","PlayerId":"'$PLAYER'"}' | grep -o 'psess-[0-9a-f-]*')
  { echo $PLAYER_SESSION; cat; } | nc {{.Host}} {{.Port}}

The game server asks Berth whether to let the player in. What you type goes to all players. /quit leaves, or Ctrl-C: the game server tells
Berth, and the slot is free again. See who is RESERVED, ACTIVE, COMPLETED, or TIMEDOUT for want of coming:

  export GAME={{.GameSession}}
  curl -s{{if .TLS}}k{{end}} {{.Endpoint}} -H 'Content-Type: application/x-amz-json-1.1' -H 'X-Amz-Target: GameLift.DescribePlayerSessions' \
    -d '{"GameSessionId":"'$GAME'"}'

The same with the aws CLI:

  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION={{.Region}}
  aws gamelift create-player-session --endpoint-url {{.Endpoint}}{{if .TLS}} --no-verify-ssl{{end}} --game-session-id $GAME --player-id carol
  aws gamelift describe-player-sessions --endpoint-url {{.Endpoint}}{{if .TLS}} --no-verify-ssl{{end}} --game-session-id $GAME

Stop with Ctrl-C.
`
