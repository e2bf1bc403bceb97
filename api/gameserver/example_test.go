package gameserver_test

import (
	"context"
	"log"
	"time"

	"github.com/berthgg/berth/api/gameserver"
)

// A game server that hosts a game session until it is told to end.
func Example() {
	serve := func(ctx context.Context) error {
		ending := make(chan struct{}, 1)
		process, err := gameserver.Connect(ctx, gameserver.Config{
			URL:         "ws://127.0.0.1:8080/server-sdk", // RegisterCompute's GameLiftServiceSdkEndpoint
			FleetID:     "fleet-1",
			ComputeName: "host-1",
			AuthToken:   "of GetComputeAuthToken",
			OnStartGameSession: func(ctx context.Context, process *gameserver.Process, session gameserver.GameSession) {
				log.Printf("hosting %s for %d players", session.Name, session.MaximumPlayerSessionCount)
				if err := process.ActivateGameSession(ctx, session.GameSessionID); err != nil {
					log.Print(err)
				}
			},
			OnProcessTerminate: func(context.Context, *gameserver.Process, time.Time) {
				select {
				case ending <- struct{}{}:
				default: // told before
				}
			},
		})
		if err != nil {
			return err
		}
		defer process.Close()
		if err := process.ProcessReady(ctx, 7777, nil); err != nil {
			return err
		}
		select {
		case <-ending:
		case <-ctx.Done():
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return process.ProcessEnding(ctx)
	}
	_ = serve
}

// A player connects with the player session id that it was given, and is let in or sent away. Without an answer it may have been accepted:
// ask again, or let it try again later.
func ExampleProcess_AcceptPlayerSession() {
	admit := func(ctx context.Context, process *gameserver.Process, gameSessionID, playerSessionID string) (bool, error) {
		err := process.AcceptPlayerSession(ctx, gameSessionID, playerSessionID)
		if gameserver.Refused(err) {
			log.Printf("a player is sent away: %v", err)
			return false, nil
		}
		return err == nil, err
	}
	_ = admit
}
