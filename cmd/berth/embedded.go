package main

import (
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// embeddedTick is how often keys of the embedded store expire.
const embeddedTick = 100 * time.Millisecond

// embedded is a store inside this process, for development and CI.
type embedded struct {
	client *redis.Client
	close  func()
}

// startEmbedded starts a miniredis that only this process can use. It expires no keys by itself, so a ticker passes the time
// on to it. Nothing depends on how exactly: TTL keys only give notice.
func startEmbedded() (*embedded, error) {
	server := miniredis.NewMiniRedis()
	password := uuid.NewString()
	server.RequireAuth(password)
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("starting the store inside this process: %w", err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), Password: password, ContextTimeoutEnabled: true})
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(embeddedTick)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case now := <-ticker.C:
				server.FastForward(now.Sub(last))
				last = now
			case <-stop:
				return
			}
		}
	}()
	return &embedded{client, func() {
		close(stop)
		<-stopped
		_ = client.Close()
		server.Close()
	}}, nil
}
