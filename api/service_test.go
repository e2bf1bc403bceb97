package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api"
)

// service is a handler on a store of its own that has a fleet with one compute.
type service struct {
	http.Handler
	t      testing.TB
	store  *allocatortest.Store
	outage *outage
	log    *record
	fleet  string
	made   int // names of things, see fresh
}

const location = "custom-cellar"

func newService(t testing.TB) *service {
	t.Helper()
	return newServiceOn(t, allocatortest.Miniredis(t))
}

func newServiceOn(t testing.TB, store *allocatortest.Store) *service {
	t.Helper()
	s := &service{t: t, store: store, outage: &outage{}, log: &record{}}
	options := s.store.Client().(*redis.Client).Options()
	client := redis.NewClient(&redis.Options{
		Addr: options.Addr, Dialer: s.outage.dial, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { client.Close() })
	s.Handler = newHandler(t, client, slog.New(slog.NewTextHandler(s.log, nil)))
	s.mustCall("CreateLocation", members{"LocationName": location})
	s.fleet = s.mustCall("CreateFleet", members{
		"Name": "fleet", "ComputeType": "ANYWHERE", "Locations": []members{{"Location": location}},
	}).text("FleetAttributes", "FleetId")
	s.mustCall("RegisterCompute", members{
		"FleetId": s.fleet, "ComputeName": "box", "Location": location, "IpAddress": "192.0.2.7", "DnsName": "box.example",
	})
	return s
}

// quotas let tests create as much as they like.
var quotas = allocator.Quotas{Aliases: 1_000_000, Fleets: 1_000_000, ComputesPerFleet: 1_000_000, Locations: 1_000_000, Queues: 1_000_000}

func newHandler(t testing.TB, client redis.UniversalClient, log *slog.Logger) http.Handler {
	t.Helper()
	a, err := allocator.Open(context.Background(), allocator.Config{Redis: client, AutoActivate: true, Logger: log, Quotas: quotas})
	if err != nil {
		t.Fatal(err)
	}
	return api.New(api.Config{Allocator: a, Timeout: patience, Logger: log})
}

// mustCall calls an operation where the protocol does not matter.
func (s *service) mustCall(operation string, input members) reply {
	s.t.Helper()
	return awsJSON.must(s.t, s, operation, input)
}

// newGameSession creates a game session with so many slots.
func (s *service) newGameSession(slots int) (id string) {
	s.t.Helper()
	return s.mustCall("CreateGameSession", members{"FleetId": s.fleet, "MaximumPlayerSessionCount": slots}).text("GameSession", "GameSessionId")
}

// newLocation creates a location.
func (s *service) newLocation() (name string) {
	s.t.Helper()
	name = s.fresh("custom-room-")
	s.mustCall("CreateLocation", members{"LocationName": name})
	return name
}

// newFleet creates a fleet without computes.
func (s *service) newFleet() (id string) {
	s.t.Helper()
	return s.mustCall("CreateFleet", members{
		"Name": "other", "ComputeType": "ANYWHERE", "Locations": []members{{"Location": location}},
	}).text("FleetAttributes", "FleetId")
}

// newAlias creates an alias of the service's fleet and returns a member of it.
func (s *service) newAlias(member string) string {
	s.t.Helper()
	return s.mustCall("CreateAlias", s.validInput("CreateAlias")).text("Alias", member)
}

// newQueue creates a queue without destinations.
func (s *service) newQueue() (name string) {
	s.t.Helper()
	name = s.fresh("queue-")
	s.mustCall("CreateGameSessionQueue", members{"Name": name})
	return name
}

// reserve reserves a slot and returns the player session's id.
func (s *service) reserve(game string) (id string) {
	s.t.Helper()
	return s.mustCall("CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "anyone"}).text("PlayerSession", "PlayerSessionId")
}

// taken returns how many slots of a game session are taken.
func (s *service) taken(game string) int {
	s.t.Helper()
	return s.mustCall("DescribeGameSessions", members{"GameSessionId": game}).number("GameSessions", 0, "CurrentPlayerSessionCount")
}

// fresh returns the text with a number that it never had before.
func (s *service) fresh(text string) string {
	s.made++
	return fmt.Sprint(text, s.made)
}

// outage stands between a client and its store.
type outage struct {
	mu    sync.Mutex
	mode  outageMode
	conns []net.Conn
}

type outageMode int

const (
	none    outageMode = iota
	down               // the store cannot be reached
	silence            // the store gets what is sent, and its replies are lost
)

func (o *outage) set(mode outageMode) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mode = mode
	if mode == down {
		for _, conn := range o.conns {
			conn.Close()
		}
		o.conns = nil
	}
}

func (o *outage) is(mode outageMode) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mode == mode
}

func (o *outage) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("cable cut between here and 198.51.100.9")}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	o.conns = append(o.conns, conn)
	return &weakConn{conn.(*net.TCPConn), o}, nil
}

// weakConn lets whoever has it see, as usual, that the connection was closed.
type weakConn struct {
	*net.TCPConn
	outage *outage
}

func (c *weakConn) Read(b []byte) (n int, err error) {
	if !c.outage.is(silence) {
		n, err = c.TCPConn.Read(b)
	}
	if c.outage.is(silence) {
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: errors.New("reply lost between here and 198.51.100.9")}
	}
	return n, err
}

// record is a log that can be read while it is written.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(line)
}

// linesWith returns the lines that have all the parts.
func (r *record) linesWith(parts ...string) (found []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
lines:
	for line := range strings.Lines(r.text.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}
