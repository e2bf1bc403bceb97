package chat

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/berthgg/berth/api/gameserver"
)

const (
	// maxLine is how many bytes a line may have. A player session id has 256 at most.
	maxLine = 1024
	// maxUnread is how many lines may wait for a player who does not read them. With more, it is let go.
	maxUnread = 256
	// writeTimeout is how long a line may take to be written.
	writeTimeout = 5 * time.Second
	// linger is how long a connection stays open for the other side to read the end of what it was told, and close.
	linger = time.Second
)

// player is whoever has connected.
type player struct {
	conn   net.Conn
	lines  *bufio.Reader
	name   string      // its player id, once it is let in
	outbox chan string // what it is told then, guarded by the room
}

// serve serves a connection to its end.
func (s *Server) serve(conn net.Conn) {
	p := &player{conn: conn, lines: bufio.NewReaderSize(conn, maxLine), outbox: make(chan string, maxUnread)}
	defer p.close()
	_ = conn.SetReadDeadline(time.Now().Add(s.hello))
	defer context.AfterFunc(s.ctx, p.interrupt)()

	playerSessionID, err := p.read()
	switch {
	case s.ctx.Err() != nil:
		p.write("* the game server ends; goodbye")
	case err != nil:
		p.write("* you cannot play: a player session id was expected as the first line, and " + reason(err))
	case playerSessionID == "":
		p.write("* you cannot play: the first line is empty; it must be the id of your player session")
	default:
		s.receive(p, playerSessionID)
	}
}

// receive lets a player play whose player session the service accepts.
func (s *Server) receive(p *player, playerSessionID string) {
	game, refusal := s.room.knock(playerSessionID)
	if refusal != "" {
		p.write("* you cannot play: " + refusal)
		return
	}
	defer s.room.release(playerSessionID)

	err := s.process.AcceptPlayerSession(s.ctx, game, playerSessionID)
	switch answer, _ := errors.AsType[*gameserver.Error](err); {
	case err == nil:
		p.name = s.nameOf(playerSessionID)
		s.log.Info("a player has joined", "player", p.name)
		s.play(p)
		s.log.Info("a player has left", "player", p.name)
	case gameserver.Refused(err):
		s.log.Info("a player was refused", "player_session", clean(playerSessionID), "reason", err)
		p.write("* you cannot play: " + clean(answer.Message))
		return
	case s.ctx.Err() != nil:
		p.write("* the game server ends; goodbye")
		return
	default: // it may have been accepted
		s.log.Warn("a player was not let in", "player_session", playerSessionID, "error", err)
		p.write("* you cannot play now: the service does not answer; try again later")
	}
	p.closeWrite() // so that the player need not wait for the service
	err = s.insist(func(ctx context.Context) error { return s.process.RemovePlayerSession(ctx, game, playerSessionID) }, "player_session", playerSessionID)
	if err != nil && s.ctx.Err() == nil {
		s.log.Warn("a player session was not removed", "player_session", playerSessionID, "error", err)
	}
}

// nameOf returns the player id of a player session.
func (s *Server) nameOf(playerSessionID string) string {
	found, err := s.process.DescribePlayerSessions(s.ctx, gameserver.PlayerSessionQuery{PlayerSessionID: playerSessionID})
	if err != nil || len(found.PlayerSessions) == 0 {
		s.log.Warn("the name of a player is not known", "error", err)
		return "somebody"
	}
	return cmp.Or(clean(found.PlayerSessions[0].PlayerID), "somebody")
}

// play has a player in the room until it leaves or the game ends.
func (s *Server) play(p *player) {
	_ = p.conn.SetReadDeadline(time.Time{})
	defer context.AfterFunc(s.ctx, p.interrupt)() // again: the deadline may have been an interruption
	written := make(chan struct{})
	go func() {
		defer close(written)
		p.writeAll()
	}()
	s.room.enter(p)
	last := "* goodbye"
	for {
		line, err := p.read()
		if s.ctx.Err() != nil {
			last = "* the game ends; goodbye"
			break
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			last = "* you cannot play on: " + reason(err)
		}
		if err != nil || line == "/quit" {
			break
		}
		if line != "" {
			s.room.say(p, line)
		}
	}
	s.room.leave(p, last)
	<-written
}

// read reads a line, without what no terminal should be sent.
func (p *player) read() (string, error) {
	line, err := p.lines.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil // the last one
	}
	return clean(string(line)), err
}

func clean(line string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "")))
}

// reason tells a player what became of the line that it was to send.
func reason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Sprintf("a line may have %d bytes at most", maxLine)
	case errors.As(err, &timeout) && timeout.Timeout():
		return "none came in time"
	}
	return "none came"
}

// interrupt ends reading.
func (p *player) interrupt() { _ = p.conn.SetReadDeadline(time.Unix(1, 0)) }

// tell has a line written to a player in the room. Who does not read is let go.
func (p *player) tell(line string) {
	select {
	case p.outbox <- line:
	default:
		_ = p.conn.Close()
	}
}

func (p *player) writeAll() {
	for line := range p.outbox {
		p.write(line)
	}
}

// write writes a line. Whoever does not take it is let go.
func (p *player) write(line string) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := io.WriteString(p.conn, line+"\n"); err != nil {
		_ = p.conn.Close()
	}
}

func (p *player) closeWrite() {
	if half, ok := p.conn.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}

// close closes the connection once the other side has had the chance to read all: with something unread on this side, it could not.
func (p *player) close() {
	p.closeWrite()
	_ = p.conn.SetReadDeadline(time.Now().Add(linger))
	_, _ = io.CopyN(io.Discard, p.conn, 1<<20)
	_ = p.conn.Close()
}
