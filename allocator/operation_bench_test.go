package allocator_test

import (
	"fmt"
	"testing"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// BenchmarkOperations measures operations of an Allocator, one at a time, on a Redis of its own. What has to be there before the call
// is made out of the measurement.
//
//	go test ./allocator -run '^$' -bench Operations | tee new && go tool benchstat old new
func BenchmarkOperations(b *testing.B) {
	store := allocatortest.RedisRealTime(b)
	s := newScene(b, store, manySlots)
	location, queue := "custom-cellar", "benched"
	if _, err := s.CreateGameSessionQueue(b.Context(), allocator.CreateGameSessionQueueInput{
		Queue: allocator.Queue{Name: queue, Destinations: []string{"arn:aws:gamelift:us-east-1::fleet/" + string(s.fleet)}},
	}); err != nil {
		b.Fatal(err)
	}
	full := s.newGameSession(50)
	for i := range 50 {
		s.reserve(full, player(i))
	}
	one := s.reserve(s.newGameSession(1), "one")
	newGame := func(slots int) func(int) allocator.GameSessionID {
		return func(int) allocator.GameSessionID { return s.newGameSession(slots) }
	}
	var group []string
	for i := range 25 {
		group = append(group, player(i))
	}

	bench(b, "CreateGameSession", nothing, func(int, struct{}) error {
		_, err := s.CreateGameSession(b.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, Location: location, MaximumPlayerSessionCount: 10})
		return err
	})
	bench(b, "DescribeGameSessions", nothing, func(int, struct{}) error {
		_, err := s.DescribeGameSessions(b.Context(), allocator.DescribeGameSessionsInput{GameSessionID: full})
		return err
	})
	bench(b, "SearchGameSessions", nothing, func(int, struct{}) error {
		_, _, err := s.SearchGameSessions(b.Context(), allocator.SearchGameSessionsInput{FleetID: s.fleet, FilterExpression: "hasAvailablePlayerSessions=true"})
		return err
	})
	bench(b, "UpdateGameSession", newGame(1), func(i int, game allocator.GameSessionID) error {
		maximum := 1 + i%100
		_, err := s.UpdateGameSession(b.Context(), allocator.UpdateGameSessionInput{GameSessionID: game, MaximumPlayerSessionCount: &maximum})
		return err
	})
	bench(b, "TerminateGameSession", newGame(1), func(_ int, game allocator.GameSessionID) error {
		_, err := s.TerminateGameSession(b.Context(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate})
		return err
	})
	bench(b, "StartGameSessionPlacement", nothing, func(i int, _ struct{}) error {
		_, err := s.StartGameSessionPlacement(b.Context(), allocator.StartGameSessionPlacementInput{
			PlacementID: fmt.Sprint("placement-", b.Name(), i), QueueName: queue, MaximumPlayerSessionCount: 1,
		})
		return err
	})
	bench(b, "CreatePlayerSession", newGame(1), func(_ int, game allocator.GameSessionID) error { return s.tryReserve(game) })
	bench(b, "CreatePlayerSession/full", nothing, func(int, struct{}) error {
		if err := s.tryReserve(full); err == nil {
			return fmt.Errorf("a full game session takes a player")
		}
		return nil
	})
	bench(b, "CreatePlayerSessions/25", newGame(25), func(_ int, game allocator.GameSessionID) error {
		_, err := s.CreatePlayerSessions(b.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: group})
		return err
	})
	bench(b, "PlacePlayerSessions", newGame(1), func(int, allocator.GameSessionID) error {
		_, err := s.PlacePlayerSessions(b.Context(), allocator.PlacePlayerSessionsInput{FleetID: s.fleet, PlayerIDs: []string{"ada"}})
		return err
	})
	bench(b, "AcceptPlayerSession", func(int) *allocator.PlayerSession { return s.reserve(s.newGameSession(1), "ada") },
		func(_ int, p *allocator.PlayerSession) error { return s.tryAccept(p) })
	bench(b, "RemovePlayerSession", func(int) *allocator.PlayerSession {
		p := s.reserve(s.newGameSession(1), "ada")
		s.accept(p)
		return p
	}, func(_ int, p *allocator.PlayerSession) error { return s.tryRemove(p) })
	for name, in := range map[string]allocator.DescribePlayerSessionsInput{
		"player session": {PlayerSessionID: one.ID}, "game session": {GameSessionID: full}, "player": {PlayerID: "one"},
	} {
		bench(b, "DescribePlayerSessions/"+name, nothing, func(int, struct{}) error {
			_, err := s.DescribePlayerSessions(b.Context(), in)
			return err
		})
	}
}

func nothing(int) struct{} { return struct{}{} }

// bench measures a call, which is given its number and what was prepared for it.
func bench[T any](b *testing.B, name string, prepare func(int) T, call func(int, T) error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			prepared := prepare(i)
			b.StartTimer()
			if err := call(i, prepared); err != nil {
				b.Fatal(err)
			}
		}
	})
}
