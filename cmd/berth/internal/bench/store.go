package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// spent is what a store has spent, on all its masters.
type spent struct {
	cpu     float64 // µs, in user and system mode
	scripts int     // calls
	script  float64 // µs in scripts
}

func (s spent) since(before spent) spent {
	return spent{s.cpu - before.cpu, s.scripts - before.scripts, s.script - before.script}
}

// spentBy asks the masters of a store what they have spent since their start.
func spentBy(ctx context.Context, client redis.UniversalClient) (spent, error) {
	var mu sync.Mutex
	var sum spent
	err := eachMaster(ctx, client, func(ctx context.Context, master redis.Cmdable) error {
		info, err := master.InfoMap(ctx, "cpu", "commandstats").Result()
		if err != nil {
			return err
		}
		one, err := spentIn(info)
		mu.Lock()
		defer mu.Unlock()
		sum = spent{sum.cpu + one.cpu, sum.scripts + one.scripts, sum.script + one.script}
		return err
	})
	if err != nil {
		return spent{}, fmt.Errorf("asking Redis what it spent: %w", err)
	}
	return sum, nil
}

// spentIn reads what INFO says.
func spentIn(info map[string]map[string]string) (s spent, err error) {
	number := func(text string) float64 {
		n, failed := strconv.ParseFloat(text, 64)
		err = errors.Join(err, failed)
		return n
	}
	cpu := info["CPU"]
	s.cpu = (number(cpu["used_cpu_user"]) + number(cpu["used_cpu_sys"])) * 1e6
	for _, command := range []string{"cmdstat_eval", "cmdstat_evalsha"} {
		for stat := range strings.SplitSeq(info["Commandstats"][command], ",") {
			switch name, text, _ := strings.Cut(stat, "="); name {
			case "calls":
				s.scripts += int(number(text))
			case "usec":
				s.script += number(text)
			}
		}
	}
	return s, err
}

func eachMaster(ctx context.Context, client redis.UniversalClient, do func(context.Context, redis.Cmdable) error) error {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error { return do(ctx, master) })
	}
	return do(ctx, client)
}

// Delete deletes every key of a store that begins with prefix, but for those that keep wants to keep; nil keeps none. Their memory
// is free when it returns: what is measured next does not pay for it.
func Delete(ctx context.Context, client redis.UniversalClient, prefix string, keep func(key string) bool) error {
	return eachMaster(ctx, client, func(ctx context.Context, master redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := master.Scan(ctx, cursor, prefix+"*", 1000).Result()
			if err == nil {
				_, err = master.Pipelined(ctx, func(pipe redis.Pipeliner) error {
					for _, key := range keys { // one by one: on a cluster they are in different slots
						if keep == nil || !keep(key) {
							pipe.Del(ctx, key)
						}
					}
					return nil
				})
			}
			if err != nil {
				return fmt.Errorf("deleting %s*: %w", prefix, err)
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
}
