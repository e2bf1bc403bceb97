package allocator_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

const storeKey = "berth:{control}:store"

func TestConfigurationThatCannotWorkIsRefused(t *testing.T) {
	store := allocatortest.Miniredis(t)
	for name, change := range map[string]func(*allocator.Config){
		"no Redis":                       func(c *allocator.Config) { c.Redis = nil },
		"a client that knows no master":  func(c *allocator.Config) { c.Redis = redis.NewRing(&redis.RingOptions{}) },
		"a negative reservation timeout": func(c *allocator.Config) { c.ReservationTimeout = -time.Second },
		"a fraction of a millisecond":    func(c *allocator.Config) { c.ReservationTimeout = 1500 * time.Microsecond },
		"a negative retention":           func(c *allocator.Config) { c.Retention = -time.Second },
		"a negative cap":                 func(c *allocator.Config) { c.MaxPlayerSessions = -1 },
		"a negative time between sweeps": func(c *allocator.Config) { c.SweepInterval = -time.Second },
	} {
		config := allocator.Config{Redis: store.Client()}
		change(&config)
		_, err := allocator.Open(t.Context(), config)
		wantOnlyKind(t, name, err, allocator.ErrInvalidRequest)
	}
}

func TestZeroConfigurationHasTheDefaultsOfTheRealService(t *testing.T) {
	store := allocatortest.Miniredis(t)
	a, err := allocator.Open(t.Context(), allocator.Config{Redis: store.Client(), AutoActivate: true})
	if err != nil {
		t.Fatal(err)
	}
	s := scene{Allocator: a, t: t, store: store}
	s.fleet = s.newFleet()
	p := s.reserve(s.newGameSession(200), "ada")
	_, err = s.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 201})
	wantOnlyKind(t, "a game session of 201 slots", err, allocator.ErrInvalidRequest)
	store.Advance(time.Minute - time.Millisecond)
	if got := s.read(p.ID).Status; got != allocator.PlayerSessionReserved {
		t.Errorf("a millisecond before a minute the player session is %s", got)
	}
	store.Advance(time.Millisecond)
	if got := s.read(p.ID).Status; got != allocator.PlayerSessionTimedOut {
		t.Errorf("after a minute the player session is %s", got)
	}
	store.Advance(24*time.Hour - time.Millisecond)
	s.sweep()
	if s.read(p.ID) == nil {
		t.Error("before the end of a day the player session is gone")
	}
	store.Advance(time.Millisecond)
	s.sweep()
	if s.read(p.ID) != nil {
		t.Error("after a day the player session is still there")
	}
}

func TestStoreKeepsItsSecretAndItsPartitions(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		open(t, store)
		first := store.Client().HGetAll(t.Context(), storeKey).Val()
		open(t, store)
		again := store.Client().HGetAll(t.Context(), storeKey).Val()
		if first["partitions"] != "256" || len(first["secret"]) < 40 || again["partitions"] != "256" || again["secret"] != first["secret"] {
			t.Errorf("the store was set up with %v and then opened with %v", first, again)
		}
	})
}

func TestStoreBelongsToOneRegion(t *testing.T) {
	store := allocatortest.Miniredis(t)
	in := func(region string) (*allocator.Allocator, error) {
		return allocator.Open(t.Context(), allocator.Config{Redis: store.Client(), Region: region})
	}
	for _, region := range []string{"EU", "eu west", "eu/west", "eu:west"} {
		_, err := in(region)
		wantOnlyKind(t, region, err, allocator.ErrInvalidRequest)
	}
	a, err := in("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	location, err := a.CreateLocation(t.Context(), allocator.CreateLocationInput{Name: "custom-home"})
	if err != nil || location.ARN != "arn:aws:gamelift:eu-west-1::location/custom-home" {
		t.Errorf("a location has the ARN %+v (error: %v)", location, err)
	}
	for _, region := range []string{"", "us-east-1"} {
		_, err := in(region)
		wantOnlyKind(t, region, err, allocator.ErrInvalidRequest)
	}
	if _, err := in("eu-west-1"); err != nil {
		t.Errorf("the region that it was set up for: %v", err)
	}
}

func TestStoresHaveSecretsOfTheirOwn(t *testing.T) {
	secrets := make(map[string]bool)
	for range 2 {
		store := allocatortest.Miniredis(t)
		open(t, store)
		secrets[store.Client().HGet(t.Context(), storeKey, "secret").Val()] = true
	}
	wantCount(t, "different secrets of two stores", len(secrets), 2)
}

func TestStoreOfAnotherFormatIsRefused(t *testing.T) {
	for _, c := range []struct {
		field, value string
		kind         allocator.Kind
	}{
		{"format", "1", allocator.ErrInvalidRequest},
		{"partitions", "512", allocator.ErrInvalidRequest},
		{"secret", "not base64!", allocator.ErrInternal},
		{"secret", "c2hvcnQ=", allocator.ErrInternal},
	} {
		store := allocatortest.Miniredis(t)
		open(t, store)
		if err := store.Client().HSet(t.Context(), storeKey, c.field, c.value).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := allocator.Open(t.Context(), allocator.Config{Redis: store.Client()})
		wantOnlyKind(t, c.field+" "+c.value, err, c.kind)
	}
}

func TestReadyStoreIsReady(t *testing.T) {
	if err := open(t, allocatortest.Miniredis(t)).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
