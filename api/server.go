package api

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/berthgg/berth/allocator"
)

// Config says what a handler serves.
type Config struct {
	Allocator *allocator.Allocator
	// PublicURL is what computes are told of where game servers connect. Default: the host that a request names, and TLS if it came so.
	PublicURL PublicURL
	// AccessKeys are those with which game servers may sign their connection: secrets by access key id.
	AccessKeys map[string]string
	// Ready fails while the service should get no requests. Default: while the store does not answer.
	Ready func(context.Context) error
	// PingTimeout is how long a game server may take to answer a ping before its connection is dropped. It is pinged twice as rarely.
	// Default 15 s.
	PingTimeout time.Duration
	// GivenUpAfter is how long a game server may wait before a player is let in. One whose turn comes later is not: the game has refused the
	// player by then. Default 15 s; Server SDKs wait for 20 s.
	GivenUpAfter time.Duration
	// Timeout is how long a call may take from the end of its request; what the store has not answered by then is given up.
	// Default 2 s.
	Timeout time.Duration
	// MaxWaiting is how many calls may wait for the store at a time; further ones are turned away at once. Default 1024.
	MaxWaiting int
	// Logger is told of requests that fail for reasons of the service. Default slog.Default().
	Logger *slog.Logger
}

// readyTimeout is how long a readiness check may take.
const readyTimeout = time.Second

// Service is the handler of the service.
type Service struct {
	http.Handler
	gameServers *gameServers
}

// DropGameServers ends the connections of game servers, each once the requests that have come are answered or ctx ends, and those that come
// yet. The game servers connect again, to another instance. It is for the end: call it before the Allocator's store is closed.
func (s *Service) DropGameServers(ctx context.Context) { s.gameServers.leave(ctx) }

// New returns a service.
func New(config Config) *Service {
	if config.Ready == nil {
		config.Ready = config.Allocator.Ready
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	h := handler{
		allocator:    config.Allocator,
		publicURL:    config.PublicURL,
		accessKeys:   config.AccessKeys,
		timeout:      cmp.Or(config.Timeout, 2*time.Second),
		waiting:      make(chan struct{}, cmp.Or(config.MaxWaiting, 1024)),
		gameServers:  &gameServers{open: make(map[*gameServer]bool)},
		pingTimeout:  cmp.Or(config.PingTimeout, 15*time.Second),
		givenUpAfter: cmp.Or(config.GivenUpAfter, 15*time.Second),
		outages:      new(outages),
		log:          config.Logger,
	}

	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false // a redirect would name neither the request nor an exception
	engine.Use(nameRequest, gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, panicked any) {
		err := fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
		h.report(c.Request.Context(), c.Request.URL.Path, c.Writer.Header().Get(requestID), err)
		bindingOf(c).fail(c, exceptionOf(err))
	}))
	engine.POST("/", h.json)
	engine.POST("/service/GameLift/operation/:operation", h.cbor)
	for _, path := range []string{"/server-sdk", "/server-sdk/"} { // the C++ SDK adds a slash
		engine.GET(path, h.serverSDK)
	}
	engine.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "alive\n") })
	engine.GET("/readyz", func(c *gin.Context) { readyz(c, config.Ready) })
	engine.NoRoute(func(c *gin.Context) {
		bindingOf(c).fail(c, refused(http.StatusNotFound, "there is nothing at "+quoted(c.Request.URL.Path)+"; "+elsewhere(c, "call operations with POST /")))
	})
	engine.NoMethod(func(c *gin.Context) {
		bindingOf(c).fail(c, refused(http.StatusMethodNotAllowed, "the method "+quoted(c.Request.Method)+" is not for "+quoted(c.Request.URL.Path)+"; "+elsewhere(c, "use "+c.Writer.Header().Get("Allow"))))
	})
	return &Service{engine, h.gameServers}
}

// elsewhere says what to do instead of what was asked for.
func elsewhere(c *gin.Context, callers string) string {
	if c.IsWebsocket() {
		return "game servers connect to /server-sdk"
	}
	return callers
}

func readyz(c *gin.Context, ready func(context.Context) error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	if err := ready(ctx); err != nil {
		c.String(http.StatusServiceUnavailable, "not ready: %v\n", err)
		return
	}
	c.String(http.StatusOK, "ready\n")
}
