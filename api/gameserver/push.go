package gameserver

import (
	"context"
	"time"
)

// push hands on what the service sent unasked.
func (p *Process) push(action string, message []byte) {
	take, known := pushes[action]
	if !known {
		p.config.Logger.Warn("the service pushed what this version does not know; it is passed over", "action", action)
		return
	}
	if err := take(p, message); err != nil {
		p.config.Logger.Warn("a push cannot be read; it is passed over", "action", action, "err", err)
	}
}

var pushes = map[string]func(*Process, []byte) error{
	"CreateGameSession": func(p *Process, message []byte) error {
		var created createGameSession
		if err := p.accent.decode(message, &created); err != nil {
			return err
		}
		if p.start(created.GameSessionID) {
			p.gameSessions.put(created.gameSession())
		}
		return nil
	},
	"UpdateGameSession": func(p *Process, message []byte) error {
		var updated updateGameSession
		if err := p.accent.decode(message, &updated); err != nil {
			return err
		}
		p.updates.put(updated.gameSessionUpdate())
		return nil
	},
	"TerminateProcess": func(p *Process, message []byte) error {
		var terminated struct{ TerminationTime int64 }
		if err := p.accent.decode(message, &terminated); err != nil {
			return err
		}
		p.terminations.put(fromMillis(terminated.TerminationTime))
		return nil
	},
	"RefreshConnection": func(p *Process, message []byte) error {
		var r refreshConnection
		if err := p.accent.decode(message, &r); err != nil {
			return err
		}
		for {
			select {
			case p.refreshes <- r:
				return nil
			case <-p.refreshes: // an older wish
			}
		}
	},
}

// start is whether a game session has not been handed out yet.
func (p *Process) start(gameSessionID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started[gameSessionID] {
		return false
	}
	p.started[gameSessionID] = true
	return true
}

// deliver calls a handler with one push after the other until the process ends.
func deliver[T any](p *Process, pushed *queue[T], handler func(context.Context, *Process, T)) {
	for {
		value, ok := pushed.take(p.ctx)
		if !ok {
			return
		}
		if handler != nil {
			handler(p.ctx, p, value)
		}
	}
}

// fromMillis is the time that stands on the wire as milliseconds since 1970; 0 is none.
func fromMillis(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
