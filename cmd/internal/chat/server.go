// Package chat is a sample game server: its game is a chat room. It shows how a game server speaks with Berth through
// [github.com/berthgg/berth/api/gameserver], and lets anybody play with nc.
//
// A player connects by TCP and sends the id of its player session as the first line. When Berth accepts that, every further line
// goes to all players of the game session, until the player sends /quit or closes the connection.
package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/berthgg/berth/api/gameserver"
)

const (
	// maxConnections is how many players and strangers may be connected at a time. Further ones are turned away.
	maxConnections = 1024
	// endTimeout is how long the service may take to hear that the process ends.
	endTimeout = 10 * time.Second
	// pause is how long to wait before a request is made again that the service could not answer, and longestPause how long when it was made
	// many times.
	pause        = time.Second
	longestPause = 8 * time.Second
)

// Config says which process of a game server this is.
type Config struct {
	// Process is as whom to connect to Berth, without the handlers.
	Process gameserver.Config
	// Listener is where players come, of [Listen]. The server closes it.
	Listener net.Listener
	// Hello is how long a player may take to send its player session id. Default 10 s.
	Hello time.Duration
	// Logger is told what happens. Default slog.Default().
	Logger *slog.Logger
}

// Server is a process of the game server. It hosts one game session.
type Server struct {
	process  *gameserver.Process
	listener net.Listener
	hello    time.Duration
	log      *slog.Logger
	room     *room

	ctx   context.Context // ends when the process is to end; why is its cause
	end   context.CancelCauseFunc
	slots chan struct{} // one for each connection
	busy  sync.WaitGroup
	ended chan struct{}
	err   error // when ended
}

var (
	errTold    = errors.New("told to by the service")
	errStopped = errors.New("stopped")
)

// Listen listens for players at an address. When its port is 0 a free one is chosen up to 60000, which are those that Amazon GameLift knows.
func Listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	for {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil || portOf(listener) <= 60000 || port != "0" {
			return listener, err
		}
		defer func() { _ = listener.Close() }() // after the next attempts, which are to find another
	}
}

func portOf(listener net.Listener) int { return listener.Addr().(*net.TCPAddr).Port }

// Start connects to Berth and says that the process can host a game session. It goes on, whatever becomes of its connection, until ctx
// ends or the service tells it to end: see [Server.Wait].
func Start(ctx context.Context, config Config) (*Server, error) {
	s := &Server{
		listener: config.Listener,
		hello:    cmp.Or(config.Hello, 10*time.Second),
		log:      cmp.Or(config.Logger, slog.Default()),
		room:     newRoom(),
		slots:    make(chan struct{}, maxConnections),
		ended:    make(chan struct{}),
	}
	s.ctx, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	config.Process.Logger = cmp.Or(config.Process.Logger, s.log)
	config.Process.OnStartGameSession = func(_ context.Context, process *gameserver.Process, session gameserver.GameSession) {
		s.host(process, session)
	}
	config.Process.OnProcessTerminate = func(context.Context, *gameserver.Process, time.Time) { s.end(errTold) }
	process, err := gameserver.Connect(ctx, config.Process)
	if err == nil {
		err = process.ProcessReady(ctx, portOf(s.listener), nil)
	}
	if err != nil {
		if process != nil {
			process.Close()
		}
		s.end(err)
		return nil, errors.Join(err, s.listener.Close())
	}
	s.process = process
	s.log.Info("the game server is ready for a game session", "process", process.ID(), "players", s.listener.Addr().String())
	context.AfterFunc(ctx, func() { s.end(errStopped) })
	s.busy.Go(s.admitAll)
	go s.finish()
	return s, nil
}

// Wait waits until the process has ended, and returns an error unless it did so in good order.
func (s *Server) Wait() error {
	<-s.ended
	return s.err
}

// finish ends the process when it is to end: the players are told goodbye, and then the service.
func (s *Server) finish() {
	defer close(s.ended)
	<-s.ctx.Done()
	why := context.Cause(s.ctx)
	s.log.Info("the game server ends", "reason", why)
	s.err = s.listener.Close()
	s.busy.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	err := s.process.ProcessEnding(ctx)
	s.process.Close()
	if refusal, ok := errors.AsType[*gameserver.Error](err); ok && refusal.StatusCode == http.StatusNotFound {
		err = nil // the service has ended it already
	}
	if errors.Is(why, errTold) || errors.Is(why, errStopped) {
		why = nil
	}
	s.err = errors.Join(s.err, why, err)
}

// host begins the game session. Players may come as soon as it is activated, so the room is open before.
func (s *Server) host(process *gameserver.Process, session gameserver.GameSession) {
	s.room.open(session.GameSessionID)
	err := s.insist(func(ctx context.Context) error { return process.ActivateGameSession(ctx, session.GameSessionID) }, "game_session", session.GameSessionID)
	if err != nil {
		s.end(fmt.Errorf("the game session cannot begin: %w", err))
		return
	}
	s.log.Info("the game session has begun", "game_session", session.GameSessionID, "slots", session.MaximumPlayerSessionCount)
}

// insist makes a request again until the service answers it, or the process is to end. The log says what it is about.
func (s *Server) insist(request func(context.Context) error, about ...any) error {
	log := s.log.With(about...)
	for attempt := 1; ; attempt++ {
		err := request(s.ctx)
		switch {
		case err == nil && attempt > 1:
			log.Info("the service has done what it was asked for", "attempts", attempt)
			return nil
		case err == nil || gameserver.Refused(err) || s.ctx.Err() != nil:
			return err
		case attempt == 1:
			log.Warn("the service could not do what it was asked for; asking until it does", "error", err)
		}
		select {
		case <-time.After(min(pause<<min(attempt-1, 10), longestPause)):
		case <-s.ctx.Done():
		}
	}
}

// admitAll serves all who connect.
func (s *Server) admitAll() {
	for s.ctx.Err() == nil {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as too many open files
			s.log.Warn("no player can connect", "error", err)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
			s.busy.Go(func() {
				defer func() { <-s.slots }()
				s.serve(conn)
			})
		default:
			s.log.Warn("somebody was turned away: too many are connected", "remote", conn.RemoteAddr().String())
			_ = conn.Close()
		}
	}
}
