package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"
)

// service is a service under its public API, and what was made there.
type service struct {
	slots int
	name  string // of what is made there
	idle  chan *connection

	mu       sync.Mutex
	location bool // is made
	fleets   []string
	games    []string
}

// controllers is how many requests that prepare or clean up are made at once.
const controllers = 8

func newService(base *url.URL, slots int) *service {
	s := &service{slots: slots, name: "berth-bench-" + uuid.NewString()[:8], idle: make(chan *connection, controllers)}
	for range controllers {
		s.idle <- newConnection(base, JSON)
	}
	return s
}

// controlInput and controlOutput have the members of the operations that prepare and clean up.
type controlInput struct {
	LocationName              string     `json:",omitzero"`
	Name                      string     `json:",omitzero"`
	ComputeType               string     `json:",omitzero"`
	Locations                 []location `json:",omitzero"`
	FleetId                   string     `json:",omitzero"`
	ComputeName               string     `json:",omitzero"`
	Location                  string     `json:",omitzero"`
	IpAddress                 string     `json:",omitzero"`
	DnsName                   string     `json:",omitzero"`
	MaximumPlayerSessionCount int        `json:",omitzero"`
	GameSessionId             string     `json:",omitzero"`
	TerminationMode           string     `json:",omitzero"`
	PlayerId                  string     `json:",omitzero"`
	PlayerSessionId           string     `json:",omitzero"`
}

type location struct{ Location string }

type controlOutput struct {
	FleetAttributes struct{ FleetId string }
	GameSession     struct{ GameSessionId, Status string }
	PlayerSession   struct{ PlayerSessionId string }
}

// do makes a request that prepares or cleans up, again and again if the service is busy.
func (s *service) do(ctx context.Context, operation string, in controlInput) (out controlOutput, err error) {
	c := <-s.idle
	defer func() { s.idle <- c }()
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		outcome, body := c.do(operation, in)
		if outcome == succeeded {
			if len(body) > 0 {
				err = JSON.unmarshal(body, &out)
			}
			return out, err
		}
		if outcome != "ThrottlingException" || attempt == attempts {
			var refusal struct{ Message string }
			_ = JSON.unmarshal(body, &refusal) // without a message, the outcome says what there is to say
			return out, &refused{operation, outcome, refusal.Message}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// A request that a busy service turns away is made so often, after a pause each time.
const (
	attempts = 200
	pause    = 25 * time.Millisecond
)

// refused is the failure of a request that prepares or cleans up.
type refused struct{ operation, outcome, message string }

func (r *refused) Error() string {
	text := r.operation + " was answered with " + r.outcome
	if r.message != "" {
		text += ": " + r.message
	}
	return text
}

// createFleet makes a fleet with a host.
func (s *service) createFleet(ctx context.Context) (string, error) {
	where := "custom-" + s.name
	if !s.location {
		if _, err := s.do(ctx, "CreateLocation", controlInput{LocationName: where}); err != nil {
			return "", err
		}
		s.location = true
	}
	out, err := s.do(ctx, "CreateFleet", controlInput{Name: s.name, ComputeType: "ANYWHERE", Locations: []location{{where}}})
	if err != nil {
		return "", err
	}
	fleet := out.FleetAttributes.FleetId
	s.fleets = append(s.fleets, fleet)
	_, err = s.do(ctx, "RegisterCompute", controlInput{
		FleetId: fleet, ComputeName: "host", Location: where, IpAddress: "192.0.2.10", DnsName: "host.bench.example.com",
	})
	return fleet, err
}

// createGame makes a game session.
func (s *service) createGame(ctx context.Context, fleet string) (string, error) {
	out, err := s.do(ctx, "CreateGameSession", controlInput{FleetId: fleet, MaximumPlayerSessionCount: s.slots})
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.games = append(s.games, out.GameSession.GameSessionId)
	s.mu.Unlock()
	if status := out.GameSession.Status; status != "ACTIVE" {
		return "", fmt.Errorf("a new game session is %s; the service must make it ACTIVE at once (--auto-activate)", status)
	}
	return out.GameSession.GameSessionId, nil
}

// createPlayer makes a player session that stays ACTIVE.
func (s *service) createPlayer(ctx context.Context, game, player string) (string, error) {
	out, err := s.do(ctx, "CreatePlayerSession", controlInput{GameSessionId: game, PlayerId: player})
	if err != nil {
		return "", err
	}
	id := out.PlayerSession.PlayerSessionId
	_, err = s.do(ctx, "AcceptPlayerSession", controlInput{GameSessionId: game, PlayerSessionId: id})
	return id, err
}

// cleanUp ends and deletes all that was made.
func (s *service) cleanUp(ctx context.Context) error {
	games := make(chan string)
	failures := make(chan error, controllers)
	for range controllers {
		go func() {
			var first error
			for game := range games {
				_, err := s.do(ctx, "TerminateGameSession", controlInput{GameSessionId: game, TerminationMode: "FORCE_TERMINATE"})
				if first == nil {
					first = err
				}
			}
			failures <- first
		}()
	}
	for _, game := range s.games {
		games <- game
	}
	close(games)
	var failed error
	for range controllers {
		failed = errors.Join(failed, <-failures)
	}
	for _, fleet := range s.fleets {
		_, err := s.do(ctx, "DeleteFleet", controlInput{FleetId: fleet})
		failed = errors.Join(failed, err)
	}
	if s.location {
		_, err := s.do(ctx, "DeleteLocation", controlInput{LocationName: "custom-" + s.name})
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return fmt.Errorf("cleaning up %s: %w", s.name, failed)
	}
	return nil
}

// close ends the connections.
func (s *service) close() {
	for range controllers {
		(<-s.idle).close()
	}
}
