package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/term"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/api"
	"github.com/berthgg/berth/cmd/berth/internal/bench"
)

type benchCommand struct {
	URL          string        `name:"url" placeholder:"URL" help:"The service to measure, such as http://127.0.0.1:8080. Without it, one in this process."`
	Redis        string        `placeholder:"URL" help:"The store, as for berth serve. With --url, that of the service, to be asked what it spends and to compare with. Without --url, an empty one to measure on; without either, one inside this process."`
	RedisTimeout time.Duration `default:"10s" help:"How long a server of the store may take to answer."`
	Scenario     string        `default:"reserve" help:"What clients ask for: a scenario, or a mix of some with weights, such as reserve=8,describe=2."`
	Protocol     string        `default:"json" enum:"json,cbor" help:"How they ask: json, as boto3 does, or cbor, as newer SDKs do."`
	Connections  int           `default:"64" help:"How many clients there are, each with a keep-alive connection and one request in flight at most."`
	Rate         float64       `placeholder:"N" help:"Begin so many requests a second, whatever the service does (an open loop), and count each latency from when its request was to begin. Without it, each client waits for its answer before it asks again (a closed loop)."`
	Duration     time.Duration `placeholder:"10s" xor:"length" help:"How long each round lasts; 10s unless --count is given."`
	Count        int           `placeholder:"N" xor:"length" help:"How many requests each round has."`
	WarmUp       time.Duration `default:"1s" help:"How long to make requests before anything is measured."`
	GameSessions int           `default:"100" help:"How many game sessions are in use at a time, where a scenario is about many. Full ones are replaced."`
	Slots        int           `default:"200" help:"How many slots each of them has. A service refuses more than its --max-player-sessions."`
	GroupSize    int           `default:"5" help:"How many players a group has, 25 at most."`
	Compare      []string      `placeholder:"NAME" help:"What to compare with, in turn: comparators, or all."`
	Rounds       int           `placeholder:"5" help:"How many rounds each contender has; 5 with --compare, otherwise 1."`
	JSON         bool          `name:"json" help:"Write the result as JSON."`
	Plot         bool          `help:"Draw the latencies by percentile, too."`
}

// Help lists the scenarios and the comparators, and says what to make of the result.
func (benchCommand) Help() string {
	return `Scenarios:

` + indented(bench.Scenarios()) + `
Comparators, which alternate with Berth in one run:

` + indented(bench.Comparators()) + `
They run in this process, as does Berth without --url, and get their load from the same clients. Ratios to a service on another machine say what the network and the machine cost, too.

Only requests that succeeded are in rates and percentiles. Those that found a game session full and those that failed are counted beside them. The exit status is 0 if any succeeded.

The service must make game sessions ACTIVE at once (--auto-activate). What is made there is ended and deleted at the end, and after Ctrl-C, which ends the run early and still prints the result. Player sessions that have ended stay readable for the service's retention. On the store of --redis without --url nothing is left.`
}

// indented sets lines apart from the text around them.
func indented(lines string) (text string) {
	for line := range strings.Lines(lines) {
		text += "    " + line
	}
	return text
}

// Validate refuses what cannot be measured before anything starts.
func (b *benchCommand) Validate() error {
	switch {
	case b.Connections < 1 || b.Connections > 10_000:
		return fmt.Errorf("--connections is %d; it must be 1 to 10000", b.Connections)
	case b.Rate < 0 || b.Rate > 10_000_000:
		return fmt.Errorf("--rate is %v; it must be positive, in requests a second", b.Rate)
	case b.Duration < 0:
		return fmt.Errorf("--duration is %v; it must be positive", b.Duration)
	case b.Count < 0:
		return fmt.Errorf("--count is %d; it must be positive", b.Count)
	case b.WarmUp < 0:
		return fmt.Errorf("--warm-up is %v; it must not be negative", b.WarmUp)
	case b.GameSessions < 1:
		return fmt.Errorf("--game-sessions is %d; it must be positive", b.GameSessions)
	case b.Slots < 1:
		return fmt.Errorf("--slots is %d; it must be positive", b.Slots)
	case b.GroupSize < 1 || b.GroupSize > 25:
		return fmt.Errorf("--group-size is %d; it must be 1 to 25", b.GroupSize)
	case b.Rounds < 0:
		return fmt.Errorf("--rounds is %d; it must be positive", b.Rounds)
	case b.RedisTimeout <= 0:
		return fmt.Errorf("--redis-timeout is %v; it must be positive", b.RedisTimeout)
	case b.JSON && b.Plot:
		return errors.New("--json and --plot are both given; a plot is no JSON")
	}
	config, err := b.config()
	if err != nil {
		return err
	}
	return config.Check()
}

// config is what the flags say.
func (b *benchCommand) config() (bench.Config, error) {
	mix, err := bench.ParseMix(b.Scenario)
	if err != nil {
		return bench.Config{}, fmt.Errorf("--scenario: %w", err)
	}
	protocol, err := bench.ProtocolOf(b.Protocol)
	if err != nil {
		return bench.Config{}, fmt.Errorf("--protocol: %w", err)
	}
	config := bench.Config{
		URL: b.URL, Mix: mix, Protocol: protocol, WarmUp: b.WarmUp,
		Load:         bench.Load{Connections: b.Connections, Rate: b.Rate, Duration: b.Duration, Count: b.Count},
		GameSessions: b.GameSessions, Slots: b.Slots, GroupSize: b.GroupSize,
		Compare: b.Compare, Rounds: b.Rounds, Serve: serveHere,
	}
	if len(b.Compare) == 1 && b.Compare[0] == "all" {
		config.Compare = bench.ComparatorNames()
	}
	if config.Load.Duration == 0 && config.Load.Count == 0 {
		config.Load.Duration = 10 * time.Second
	}
	if config.Rounds == 0 {
		config.Rounds = 1
		if len(config.Compare) > 0 {
			config.Rounds = 5
		}
	}
	if b.Redis != "" || b.URL == "" {
		config.Dial = func() (redis.UniversalClient, error) { return openRedis(b.Redis, b.RedisTimeout) }
	}
	return config, nil
}

// Run measures, and writes the result.
func (b *benchCommand) Run(ctx context.Context) (err error) {
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)})
	config, err := b.config()
	if err != nil {
		return err
	}
	if b.Redis != "" {
		client, err := config.Dial()
		if err != nil {
			return fmt.Errorf("--redis: %w", err)
		}
		defer client.Close()
		config.Meter = client
	}
	if b.URL == "" {
		service, err := b.startService(ctx, config.Meter)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, service.stop(context.WithoutCancel(ctx))) }()
		config.URL, config.Dial, config.KeepService = service.url, service.dial, true
	}
	config.Progress = bench.NewProgress(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())))
	result, err := bench.Run(ctx, config)
	if result == nil {
		return err
	}
	if result.Succeeded() == 0 && !result.Interrupted {
		err = errors.Join(err, errors.New("no request succeeded"))
	}
	switch {
	case b.JSON:
		return errors.Join(err, result.WriteJSON(os.Stdout))
	case b.Plot:
		return errors.Join(err, result.WriteTable(os.Stdout), result.WritePlot(os.Stdout))
	}
	return errors.Join(err, result.WriteTable(os.Stdout))
}

// benchService is a service in this process that is there to be measured.
type benchService struct {
	url  string
	dial func() (redis.UniversalClient, error)
	stop func(context.Context) error
}

// startService starts a service on a store that nobody else uses: that of --redis, which must have none of Berth's keys, or one in this process.
func (b *benchCommand) startService(ctx context.Context, client redis.UniversalClient) (*benchService, error) {
	s := &benchService{dial: func() (redis.UniversalClient, error) { return openRedis(b.Redis, b.RedisTimeout) }}
	var inside *embedded
	if b.Redis == "" {
		var err error
		if inside, err = startEmbedded(); err != nil {
			return nil, err
		}
		client = inside.client
		s.dial = func() (redis.UniversalClient, error) { return redis.NewClient(inside.client.Options()), nil }
	} else if used, err := client.Exists(ctx, storePrefix+"{control}:store").Result(); err != nil {
		return nil, fmt.Errorf("asking the store what it has: %w", err)
	} else if used > 0 {
		return nil, errors.New("--redis has a store of Berth's, which is not to be measured on; give an empty Redis or database, or measure a service that uses it with --url")
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	slots, err := allocator.Open(ctx, allocator.Config{
		Redis: client, AutoActivate: true, MaxPlayerSessions: max(b.Slots, 200), SweepOnly: b.Redis == "", Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	clockwork, stopClockwork := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		slots.Run(clockwork)
	}()
	url, stopServing, err := serveHere(api.New(api.Config{Allocator: slots, MaxWaiting: max(b.Connections, 1024), Logger: log}))
	s.url = url
	s.stop = func(ctx context.Context) error {
		if stopServing != nil {
			stopServing()
		}
		stopClockwork()
		<-ended
		if inside != nil {
			inside.close()
			return nil
		}
		return emptyStore(ctx, client)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// storePrefix begins every key of a store of Berth's.
const storePrefix = "berth:"

// emptyStore deletes the keys of a service that has ended, unless others have begun to use them.
func emptyStore(ctx context.Context, client redis.UniversalClient) error {
	others, err := client.ZCard(ctx, storePrefix+"{control}:instances").Result()
	switch {
	case err != nil:
		return fmt.Errorf("asking the store whether it is in use: %w", err)
	case others > 0:
		return errors.New("another instance of Berth uses the store of --redis by now, so nothing was deleted there")
	}
	return bench.Delete(ctx, client, storePrefix, nil)
}

// serveHere serves a handler on a free port of this machine, as berth serve does.
func serveHere(handler http.Handler) (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := newServer(handler, slog.New(slog.DiscardHandler))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until it is closed
	}()
	return "http://" + listener.Addr().String(), func() {
		_ = server.Close() // nobody waits for an answer any more
		<-served
	}, nil
}
