package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// openRedis makes a client of a URL. The scheme says what is there: redis and rediss (TLS) one node, redis-cluster and
// rediss-cluster a Redis Cluster, redis-sentinel and rediss-sentinel a Sentinel group. Query parameters are go-redis' own.
// timeout is how long to wait for a server in any respect, unless the URL says so itself.
func openRedis(text string, timeout time.Duration) (redis.UniversalClient, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Opaque != "" { // redis:6379 has no host
		return nil, errors.New("not a URL, such as redis://127.0.0.1:6379/0") // its error would show a password
	}
	scheme, topology, _ := strings.Cut(parsed.Scheme, "-")
	unknown := fmt.Errorf("the scheme %q is none of redis, rediss, redis-cluster, rediss-cluster, redis-sentinel, rediss-sentinel", parsed.Scheme)
	if scheme != "redis" && scheme != "rediss" {
		return nil, unknown
	}
	parsed.Scheme = scheme
	switch topology {
	case "":
		options, err := redis.ParseURL(parsed.String())
		if err != nil {
			return nil, err
		}
		options.ContextTimeoutEnabled = true
		waitNoLonger(timeout, &options.DialTimeout, &options.ReadTimeout, &options.WriteTimeout, &options.PoolTimeout)
		return redis.NewClient(options), nil
	case "cluster":
		options, err := redis.ParseClusterURL(parsed.String())
		if err != nil {
			return nil, err
		}
		options.ContextTimeoutEnabled = true
		waitNoLonger(timeout, &options.DialTimeout, &options.ReadTimeout, &options.WriteTimeout, &options.PoolTimeout)
		return redis.NewClusterClient(options), nil
	case "sentinel":
		options, err := redis.ParseFailoverURL(parsed.String())
		if err != nil {
			return nil, err
		}
		if options.MasterName == "" {
			return nil, errors.New("the query parameter master_name is missing; it names the group that the Sentinels watch")
		}
		options.ContextTimeoutEnabled = true
		waitNoLonger(timeout, &options.DialTimeout, &options.ReadTimeout, &options.WriteTimeout, &options.PoolTimeout)
		return redis.NewFailoverClient(options), nil
	}
	return nil, unknown
}

// waitNoLonger sets the timeouts that are not set.
func waitNoLonger(timeout time.Duration, of ...*time.Duration) {
	for _, t := range of {
		*t = cmp.Or(*t, timeout)
	}
}

// redisLog takes what go-redis has to say of its connections into the service's own log.
type redisLog struct{ log *slog.Logger }

// Printf logs a message of go-redis.
func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, args...))
}
