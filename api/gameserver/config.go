package gameserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Config says who a process is and how it answers. URL, FleetID, ComputeName and one of AuthToken, Token and SigV4 are required.
type Config struct {
	// URL is where the service listens, ws:// or wss://, as RegisterCompute tells it in GameLiftServiceSdkEndpoint. A query is dropped.
	URL         string
	FleetID     string
	ComputeName string // of the registered compute on which the process runs
	ProcessID   string // unique among the processes of the compute. Default: a random UUID

	// AuthToken is what GetComputeAuthToken gave. A dropped connection is opened again with the same one.
	AuthToken string
	// Token gives an auth token, asked before each attempt to connect.
	Token func(context.Context) (string, error)
	// SigV4 signs each attempt to connect.
	SigV4 *SigV4

	// OnStartGameSession is told of a game session that this process is to host; it calls ActivateGameSession when players can come.
	//
	// Each handler is called from a goroutine of its own, with one push at a time in the order in which they came, and may call any method
	// of the process. Its context ends with the process. What has no handler is passed over.
	OnStartGameSession func(context.Context, *Process, GameSession)
	// OnUpdateGameSession is told of a change in the game session of this process, such as a backfill.
	OnUpdateGameSession func(context.Context, *Process, GameSessionUpdate)
	// OnProcessTerminate is told when the process will be ended; until then it should call ProcessEnding and leave.
	OnProcessTerminate func(context.Context, *Process, time.Time)
	// HealthCheck says whether the process can host a game session, asked before each heartbeat. Heartbeats wait while it does not
	// return, and without them the service gives the process up. Default: healthy.
	HealthCheck func() bool

	// Heartbeat is how far apart heartbeats are, give or take a sixth. Default 60 s.
	Heartbeat time.Duration
	// RequestTimeout is how long a request waits for its answer, and an attempt to connect for its success. Default 20 s.
	RequestTimeout time.Duration
	// Backoff is how long to wait before connecting again after so many failures in a row, 1 or more. Default: 1 s, doubled each time up
	// to 8 s, of which up to half is taken off at random.
	Backoff func(failures int) time.Duration
	// Attempts is how often Connect tries. Once connected, a process never stops trying. Default 8.
	Attempts int

	// TLS is for wss://. Default: certificates are verified against the roots of the system.
	TLS *tls.Config
	// DialContext opens connections. Default: a net.Dialer's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger is told of lost connections and of what could not be understood. Default slog.Default().
	Logger *slog.Logger

	// Dialect is whose habits to take on. Default Go.
	Dialect Dialect
	// SDKLanguage and SDKVersion are how the process names its SDK. Default: those of the dialect.
	SDKLanguage, SDKVersion string
	// SDKToolName and SDKToolVersion name the engine plugin or tool that uses the SDK, if any.
	SDKToolName, SDKToolVersion string

	// Trace sees every message, those to be sent just before they are. It is called with one at a time and must not change it.
	Trace func(Direction, []byte)
}

// Direction is which way a message goes.
type Direction int

// The directions.
const (
	Sent     Direction = iota // from the process to the service
	Received                  // from the service to the process
)

// String is "<-" for what is sent and "->" for what is received, as seen from the service.
func (d Direction) String() string {
	if d == Sent {
		return "<-"
	}
	return "->"
}

func (c *Config) complete() error {
	ways := 0
	for _, given := range []bool{c.AuthToken != "", c.Token != nil, c.SigV4 != nil} {
		if given {
			ways++
		}
	}
	switch {
	case c.FleetID == "":
		return errors.New("Config.FleetID is empty; give the fleet of the compute")
	case c.ComputeName == "":
		return errors.New("Config.ComputeName is empty; give the name with which the compute was registered")
	case ways != 1:
		return errors.New("give exactly one of Config.AuthToken, Config.Token and Config.SigV4")
	case c.SigV4 != nil && (c.SigV4.AccessKeyID == "" || c.SigV4.SecretAccessKey == "" || c.SigV4.Region == ""):
		return errors.New("Config.SigV4 needs an AccessKeyID, a SecretAccessKey and a Region")
	case !c.Dialect.known():
		return fmt.Errorf("there is no dialect %d; use Go, Cpp or CSharp", int(c.Dialect))
	}

	accent := c.Dialect.accent()
	c.ProcessID = cmp.Or(c.ProcessID, uuid.NewString())
	c.SDKLanguage = cmp.Or(c.SDKLanguage, accent.language)
	c.SDKVersion = cmp.Or(c.SDKVersion, accent.version)
	c.Heartbeat = cmp.Or(c.Heartbeat, time.Minute)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 20*time.Second)
	c.Attempts = cmp.Or(c.Attempts, 8)
	if c.Token == nil {
		c.Token = func(context.Context) (string, error) { return c.AuthToken, nil }
	}
	if c.HealthCheck == nil {
		c.HealthCheck = func() bool { return true }
	}
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	if c.DialContext == nil {
		c.DialContext = new(net.Dialer).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

func backoff(failures int) time.Duration {
	wait := time.Second << min(failures-1, 3)
	return wait - rand.N(wait/2)
}

// An endpoint is one URL that connections are opened to. All of them carry the same idempotency token.
type endpoint struct {
	base             *url.URL
	token            func(context.Context) (string, error)
	signer           *SigV4 // instead of token
	idempotencyToken string
}

func newEndpoint(base string, token func(context.Context) (string, error), signer *SigV4) (endpoint, error) {
	parsed, err := url.Parse(base)
	if err != nil {
		return endpoint{}, fmt.Errorf("the address of the service cannot be read: %w", err)
	}
	if parsed.Scheme != "ws" && parsed.Scheme != "wss" || parsed.Host == "" {
		return endpoint{}, fmt.Errorf("%q is no address of a service; give one that begins with ws:// or wss://", base)
	}
	return endpoint{base: parsed, token: token, signer: signer, idempotencyToken: uuid.NewString()}, nil
}

// address returns where to open the next connection of the process.
func (c *Config) address(ctx context.Context, e endpoint) (string, error) {
	accent := c.Dialect.accent()
	query := url.Values{
		"pID":              {c.ProcessID},
		"sdkVersion":       {c.SDKVersion},
		"sdkLanguage":      {c.SDKLanguage},
		"ComputeId":        {c.ComputeName},
		"FleetId":          {c.FleetID},
		"IdempotencyToken": {e.idempotencyToken},
	}
	proof := url.Values{}
	if e.signer != nil {
		proof = e.signer.sign(url.Values{"ComputeId": {c.ComputeName}, "FleetId": {c.FleetID}, "pID": {c.ProcessID}}, time.Now())
		if accent.encodesSignature {
			for _, value := range proof {
				value[0] = url.QueryEscape(value[0])
			}
		}
	} else {
		token, err := e.token(ctx)
		if err != nil {
			return "", fmt.Errorf("no auth token: %w", err)
		}
		proof.Set("Authorization", token)
	}
	maps.Copy(query, proof)

	address := *e.base
	address.Fragment = ""
	address.RawQuery = query.Encode()
	if accent.unencodedQuery {
		address.RawQuery = unencoded(query)
	}
	if accent.trailingSlash && !strings.HasSuffix(address.Path, "/") {
		address.Path, address.RawPath = address.Path+"/", ""
	}
	return address.String(), nil
}

func unencoded(query url.Values) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		pairs = append(pairs, name+"="+query.Get(name))
	}
	return strings.Join(pairs, "&")
}
