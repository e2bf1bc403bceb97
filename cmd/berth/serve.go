package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/api"
)

// shutdownTimeout is how long requests in flight may take to finish after a signal to stop.
const shutdownTimeout = 30 * time.Second

type serveCommand struct {
	Addr                string        `default:"127.0.0.1:8080" help:"Where to listen."`
	Insecure            bool          `help:"Listen on an address that others can reach, although nothing asks callers who they are."`
	TLSCert             string        `placeholder:"FILE" help:"Serve TLS, with the certificate in this PEM file, followed by its chain. Files that are replaced are read again."`
	TLSKey              string        `placeholder:"FILE" help:"The key of --tls-cert, as PEM."`
	TLSSelfSigned       bool          `help:"Serve TLS, with a certificate made at start, for clients that do not verify it or trust the fingerprint in the log."`
	PublicURL           api.PublicURL `placeholder:"URL" help:"How clients reach the service where it is behind a proxy, such as https://games.example.com. Computes are told of it. Without it, whatever host a request names."`
	AccessKey           []string      `placeholder:"ID:SECRET" help:"An access key with which game servers may sign their connection, instead of using an auth token. Several are separated by commas, or given one by one."`
	Redis               string        `placeholder:"URL" help:"The store: redis:// or rediss:// for one node; redis-cluster://host:port?addr=host2:port2; redis-sentinel://host:port?master_name=name&addr=host2:port2. Without it, a store inside this process, which ends with it."`
	ReservationTimeout  time.Duration `default:"60s" help:"How long a player session may stay RESERVED."`
	Retention           time.Duration `default:"24h" help:"How long ended player sessions stay readable."`
	Region              string        `default:"us-east-1" help:"The region in ARNs."`
	MaxPlayerSessions   int           `default:"200" help:"The most player sessions that a game session may have at a time."`
	MaxAliases          int           `default:"100" help:"The most aliases."`
	MaxFleets           int           `default:"10" help:"The most fleets."`
	MaxComputesPerFleet int           `default:"100" help:"The most computes in a fleet."`
	MaxLocations        int           `default:"20" help:"The most custom locations."`
	MaxQueues           int           `default:"20" help:"The most game session queues."`
	RedisTimeout        time.Duration `default:"2s" help:"How long a call may wait for the store before it fails."`
	MaxWaiting          int           `default:"1024" help:"The most calls that may wait for the store at a time; further ones are turned away at once."`
	WaitReplicas        int           `default:"0" help:"How many replicas must have a change before it is acknowledged."`
	AutoActivate        *bool         `negatable:"" help:"Make game sessions of fleets without server processes ACTIVE at once, on a registered compute. The default without --redis."`
	ActivationTimeout   time.Duration `default:"10m" help:"How long a server process may take to activate the game session that it was given."`
	DrainDelay          time.Duration `default:"0s" help:"How long to go on serving after a signal to stop while /readyz says no, so that load balancers notice."`
	Demo                bool          `help:"Create a game session with a few slots, and print commands to try it with."`
	DemoServer          bool          `help:"As --demo, with a sample game server on which the game session runs, and commands to play with."`
	LogLevel            slog.Level    `default:"info" help:"What to log: debug, info, warn or error."`
}

// Validate refuses what cannot work before anything starts.
func (s *serveCommand) Validate() error {
	switch {
	case s.ReservationTimeout <= 0 || s.ReservationTimeout%time.Millisecond != 0:
		return fmt.Errorf("--reservation-timeout is %v; it must be a positive number of milliseconds", s.ReservationTimeout)
	case s.ActivationTimeout <= 0 || s.ActivationTimeout%time.Millisecond != 0:
		return fmt.Errorf("--activation-timeout is %v; it must be a positive number of milliseconds", s.ActivationTimeout)
	case s.Retention <= 0:
		return fmt.Errorf("--retention is %v; it must be positive", s.Retention)
	case s.MaxPlayerSessions <= 0:
		return fmt.Errorf("--max-player-sessions is %d; it must be positive", s.MaxPlayerSessions)
	case min(s.MaxAliases, s.MaxFleets, s.MaxComputesPerFleet, s.MaxLocations, s.MaxQueues) <= 0:
		return errors.New("a --max-… flag is zero or negative; each must be positive")
	case s.RedisTimeout <= 0:
		return fmt.Errorf("--redis-timeout is %v; it must be positive", s.RedisTimeout)
	case s.WaitReplicas < 0:
		return fmt.Errorf("--wait-replicas is %d; it must not be negative", s.WaitReplicas)
	case s.WaitReplicas > 0 && s.Redis == "":
		return errors.New("--wait-replicas is set without --redis; the store inside this process has no replicas")
	case s.MaxWaiting <= 0:
		return fmt.Errorf("--max-waiting is %d; it must be positive", s.MaxWaiting)
	case s.Region == "":
		return errors.New("--region is empty")
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key need each other; set both or neither")
	case s.TLSSelfSigned && s.TLSCert != "":
		return errors.New("--tls-self-signed and --tls-cert are both given; there can be one certificate")
	case (s.TLSSelfSigned || s.TLSCert != "") && s.PublicURL.Hostname() != "" && !s.PublicURL.IsTLS():
		return errors.New("--public-url is http:// while TLS is served, and game servers would be told ws://; begin it with https://")
	case s.DrainDelay < 0:
		return fmt.Errorf("--drain-delay is %v; it must not be negative", s.DrainDelay)
	}
	if _, err := s.accessKeys(); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return fmt.Errorf("--addr is %q; it must be host:port", s.Addr)
	}
	if !s.Insecure && !isLoopback(host) {
		return fmt.Errorf("--addr %s can be reached by others, and nothing asks callers who they are; listen on 127.0.0.1, or add --insecure if the network keeps strangers out", s.Addr)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run serves until ctx ends, then finishes what is in flight.
func (s *serveCommand) Run(ctx context.Context) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: s.LogLevel}))
	redis.SetLogger(redisLog{log})
	security, err := s.security(log)
	if err != nil {
		return err
	}
	accessKeys, err := s.accessKeys()
	if err != nil {
		return err
	}
	client, closeStore, err := s.openStore(log)
	if err != nil {
		return err
	}
	defer closeStore()

	embedded := s.Redis == ""
	slots, err := allocator.Open(ctx, allocator.Config{
		Redis:              client,
		Region:             s.Region,
		ReservationTimeout: s.ReservationTimeout,
		Retention:          s.Retention,
		MaxPlayerSessions:  s.MaxPlayerSessions,
		Quotas: allocator.Quotas{
			Aliases: s.MaxAliases, Fleets: s.MaxFleets, ComputesPerFleet: s.MaxComputesPerFleet, Locations: s.MaxLocations, Queues: s.MaxQueues,
		},
		AutoActivate:      s.AutoActivate == nil && (embedded || s.Demo) || s.AutoActivate != nil && *s.AutoActivate,
		ActivationTimeout: s.ActivationTimeout,
		SweepOnly:         embedded,
		WaitReplicas:      s.WaitReplicas,
		WaitTimeout:       max(time.Millisecond, (s.RedisTimeout / 2).Truncate(time.Millisecond)),
		Logger:            log,
	})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	listener, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return err
	}
	if security != nil {
		listener = tls.NewListener(listener, security)
	}

	clockwork, stopClockwork := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { slots.Run(clockwork) })
	defer running.Wait()
	defer stopClockwork()

	var draining atomic.Bool
	service := api.New(api.Config{
		Allocator:  slots,
		PublicURL:  s.PublicURL,
		AccessKeys: accessKeys,
		Ready: func(ctx context.Context) error {
			if draining.Load() {
				return errors.New("shutting down")
			}
			return slots.Ready(ctx)
		},
		Timeout:    s.RedisTimeout,
		MaxWaiting: s.MaxWaiting,
		Logger:     log,
	})
	server := newServer(service, log)
	atOnce, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	defer service.DropGameServers(atOnce) // the store is to be told that they are gone
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("serving", "addr", listener.Addr().String(), "tls", security != nil, "version", version())
	endDemo, err := s.startDemo(ctx, slots, listener.Addr().String(), security != nil, log)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	defer endDemo()

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Info("shutting down; requests in flight are finished first", "drain_delay", s.DrainDelay)
	draining.Store(true)
	time.Sleep(s.DrainDelay)
	endDemo() // while the service is there for it
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	// Once nobody can connect any more: a game server connects anew at once, and should find another instance.
	server.RegisterOnShutdown(func() { service.DropGameServers(deadline) })
	if err := server.Shutdown(deadline); err != nil {
		return fmt.Errorf("requests were still in flight after %v: %w", shutdownTimeout, err)
	}
	service.DropGameServers(deadline)
	stopClockwork()
	running.Wait()
	log.Info("stopped")
	return nil
}

// startDemo begins a demo, if there is to be one, and prints its commands. What is returned ends it.
func (s *serveCommand) startDemo(ctx context.Context, slots *allocator.Allocator, listening string, tls bool, log *slog.Logger) (end func(), err error) {
	if !s.Demo && !s.DemoServer {
		return func() {}, nil
	}
	addr, err := dialable(listening)
	if err != nil {
		return nil, err
	}
	d := &demo{slots: slots, addr: addr, tls: tls, region: s.Region, log: log}
	end = sync.OnceFunc(d.end)
	flag := "--demo"
	if s.DemoServer {
		flag = "--demo-server"
		err = d.createOnServer(ctx)
	} else {
		err = d.create(ctx)
	}
	if err == nil {
		err = d.print(os.Stdout)
	}
	if err != nil && ctx.Err() == nil { // it was not broken off by a signal
		end()
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return end, nil
}

// newServer returns a server of a handler. What goes wrong on connections is logged for debugging.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// openStore connects to the store, or starts the one inside this process.
func (s *serveCommand) openStore(log *slog.Logger) (redis.UniversalClient, func(), error) {
	if s.Redis == "" {
		log.Warn("the store is inside this process: nothing survives it. Set --redis to keep player sessions")
		store, err := startEmbedded()
		if err != nil {
			return nil, nil, err
		}
		return store.client, store.close, nil
	}
	client, err := openRedis(s.Redis, s.RedisTimeout)
	if err != nil {
		return nil, nil, fmt.Errorf("--redis: %w", err)
	}
	return client, func() { _ = client.Close() }, nil
}
