package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/template"

	"github.com/berthgg/berth/allocator"
)

const (
	demoLocation = "custom-demo"
	demoSlots    = 4
)

// demo creates an ACTIVE game session with a few slots, and prints commands that reserve, accept and read them.
// Over TLS they do not verify the certificate, which need not be of the address.
func demo(ctx context.Context, out io.Writer, slots *allocator.Allocator, addr string, tls bool, region string) error {
	game, err := createDemo(ctx, slots)
	if err != nil {
		return fmt.Errorf("--demo: %w", err)
	}
	scheme := "http://"
	if tls {
		scheme = "https://"
	}
	return demoText.Execute(out, map[string]any{
		"Endpoint": scheme + addr, "TLS": tls, "Region": region, "GameSession": game.ID, "Slots": game.MaximumPlayerSessionCount,
	})
}

func createDemo(ctx context.Context, slots *allocator.Allocator) (*allocator.GameSession, error) {
	_, err := slots.CreateLocation(ctx, allocator.CreateLocationInput{Name: demoLocation})
	if err != nil && !errors.Is(err, allocator.ErrConflict) { // it may be there from an earlier demo
		return nil, err
	}
	fleet, err := slots.CreateFleet(ctx, allocator.CreateFleetInput{Name: "demo", Locations: []string{demoLocation}})
	if err != nil {
		return nil, err
	}
	_, err = slots.RegisterCompute(ctx, allocator.RegisterComputeInput{
		FleetID: fleet.ID, Name: "demo-host", Location: demoLocation, IPAddress: "127.0.0.1", DNSName: "localhost",
	})
	if err != nil {
		return nil, err
	}
	return slots.CreateGameSession(ctx, allocator.CreateGameSessionInput{
		FleetID: fleet.ID, Name: "demo", MaximumPlayerSessionCount: demoSlots,
	})
}

var demoText = template.Must(template.New("demo").Parse(`
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

Stop with Ctrl-C.
`))
