package allocator_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
)

// A slot's life: reserved for a player, taken up when the player connects, and free again when the player leaves.
func Example() {
	server, err := miniredis.Run() // in place of a Redis of your own
	if err != nil {
		panic(err)
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()

	ctx := context.Background()
	slots, err := allocator.Open(ctx, allocator.Config{Redis: client, AutoActivate: true})
	if err != nil {
		panic(err)
	}

	// Once: a place, a fleet there, and a machine of the fleet.
	if _, err := slots.CreateLocation(ctx, allocator.CreateLocationInput{Name: "custom-home"}); err != nil {
		panic(err)
	}
	fleet, err := slots.CreateFleet(ctx, allocator.CreateFleetInput{Name: "duels", Locations: []string{"custom-home"}})
	if err != nil {
		panic(err)
	}
	if _, err := slots.RegisterCompute(ctx, allocator.RegisterComputeInput{
		FleetID: fleet.ID, Name: "box-1", Location: "custom-home", IPAddress: "192.0.2.1",
	}); err != nil {
		panic(err)
	}

	// For each game: its slots.
	game, err := slots.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: fleet.ID, MaximumPlayerSessionCount: 2})
	if err != nil {
		panic(err)
	}

	// For each player: reserve before the player connects, …
	player, err := slots.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game.ID, PlayerID: "ada"})
	if err != nil {
		panic(err)
	}
	fmt.Println(player.PlayerID, player.Status, "on", player.IPAddress)

	// … accept when the player has connected to the game server, …
	err = slots.AcceptPlayerSession(ctx, allocator.AcceptPlayerSessionInput{GameSessionID: game.ID, PlayerSessionID: player.ID})
	if err != nil {
		panic(err)
	}

	// … and remove when the player has left.
	err = slots.RemovePlayerSession(ctx, allocator.RemovePlayerSessionInput{GameSessionID: game.ID, PlayerSessionID: player.ID})
	if err != nil {
		panic(err)
	}

	read, err := slots.DescribePlayerSessions(ctx, allocator.DescribePlayerSessionsInput{PlayerSessionID: player.ID})
	if err != nil {
		panic(err)
	}
	fmt.Println(player.PlayerID, read.PlayerSessions[0].Status)

	// Output:
	// ada RESERVED on 192.0.2.1
	// ada COMPLETED
}

// A party plays together or not at all.
func ExampleAllocator_CreatePlayerSessions() {
	slots, game, stop := newGame(3)
	defer stop()
	ctx := context.Background()

	party, err := slots.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{
		GameSessionID: game,
		PlayerIDs:     []string{"ada", "bob"},
		PlayerDataMap: map[string]string{"ada": "captain", "bob": "crew"},
	})
	if err != nil {
		panic(err)
	}
	for _, player := range party {
		fmt.Println(player.PlayerID, player.Status, player.PlayerData)
	}

	_, err = slots.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"cy", "dee"}})
	fmt.Println("one slot for two:", errors.Is(err, allocator.ErrGameSessionFull))

	// Output:
	// ada RESERVED captain
	// bob RESERVED crew
	// one slot for two: true
}

// A caller that cannot know whether its call was answered makes the same call again, with the same token.
func ExampleAllocator_CreatePlayerSession_retry() {
	slots, game, stop := newGame(1)
	defer stop()
	ctx := context.Background()

	call := allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: "7f3c2a"}
	first, err := slots.CreatePlayerSession(ctx, call)
	if err != nil {
		panic(err)
	}
	again, err := slots.CreatePlayerSession(ctx, call)
	if err != nil {
		panic(err)
	}
	fmt.Println("the same player session:", first.ID == again.ID)

	// Output:
	// the same player session: true
}

func ExampleAllocator_CreatePlayerSession_full() {
	slots, game, stop := newGame(1)
	defer stop()
	ctx := context.Background()

	for _, player := range []string{"ada", "bob"} {
		_, err := slots.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: player})
		switch {
		case err == nil:
			fmt.Println(player, "has a slot")
		case errors.Is(err, allocator.ErrGameSessionFull):
			fmt.Println(player, "has to look for another game")
		case errors.Is(err, allocator.ErrOutcomeUnknown), errors.Is(err, allocator.ErrStoreUnavailable):
			fmt.Println(player, "has to try again")
		default:
			panic(err)
		}
	}

	// Output:
	// ada has a slot
	// bob has to look for another game
}

// newGame opens an Allocator on an embedded store and creates a game session with so many slots.
func newGame(maximum int) (slots *allocator.Allocator, game allocator.GameSessionID, stop func()) {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	ctx := context.Background()
	slots, err = allocator.Open(ctx, allocator.Config{Redis: client, AutoActivate: true})
	if err != nil {
		panic(err)
	}
	if _, err := slots.CreateLocation(ctx, allocator.CreateLocationInput{Name: "custom-home"}); err != nil {
		panic(err)
	}
	fleet, err := slots.CreateFleet(ctx, allocator.CreateFleetInput{Name: "duels", Locations: []string{"custom-home"}})
	if err != nil {
		panic(err)
	}
	if _, err := slots.RegisterCompute(ctx, allocator.RegisterComputeInput{
		FleetID: fleet.ID, Name: "box-1", Location: "custom-home", IPAddress: "192.0.2.1",
	}); err != nil {
		panic(err)
	}
	session, err := slots.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: fleet.ID, MaximumPlayerSessionCount: maximum})
	if err != nil {
		panic(err)
	}
	return slots, session.ID, func() {
		client.Close()
		server.Close()
	}
}
