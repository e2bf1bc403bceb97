package allocator

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	heartbeatInterval = time.Second
	// heartbeatLife is how long a heartbeat counts. An instance that is silent for so long loses its partitions.
	heartbeatLife = 3 * heartbeatInterval
)

// ownership says which partitions this instance sweeps. It divides the work, and nothing rests on it: two owners of a
// partition do the same work twice, and without an owner a reservation past its deadline holds no slot all the same.
type ownership struct {
	instance string
	owned    *atomic.Pointer[[Partitions]bool]
}

func newOwnership(instance string) ownership {
	owned := new(atomic.Pointer[[Partitions]bool])
	owned.Store(new([Partitions]bool)) // none before the first heartbeat
	return ownership{instance, owned}
}

func (o ownership) owns(p partition) bool { return o.owned.Load()[p] }

// partitions lists what this instance owns.
func (o ownership) partitions() []partition {
	var list []partition
	for p, owned := range o.owned.Load() {
		if owned {
			list = append(list, partition(p))
		}
	}
	return list
}

// among takes the share of this instance among those that are alive, itself included, and lists what it gains. Each partition
// goes to the instance for which the hash of both is highest, so that whoever joins or leaves moves only what it gains or had.
func (o ownership) among(alive []string) (gained []partition) {
	var owned [Partitions]bool
	before := o.owned.Load()
	for p := range owned {
		owned[p] = rendezvous(partition(p), alive) == o.instance
		if owned[p] && !before[p] {
			gained = append(gained, partition(p))
		}
	}
	o.owned.Store(&owned)
	return gained
}

func rendezvous(p partition, instances []string) (owner string) {
	var highest uint64
	for _, instance := range instances {
		weight := xxhash.Sum64String(strconv.Itoa(int(p)) + " " + instance)
		if owner == "" || weight > highest || weight == highest && instance > owner {
			owner, highest = instance, weight
		}
	}
	return owner
}

// heartbeat tells the others that this instance is alive, and takes its share of the partitions. It lists those that it gains.
func (a *Allocator) heartbeat(ctx context.Context) (gained []partition, err error) {
	reply, err := a.run(ctx, heartbeatScript, []string{instancesKey}, a.owner.instance, heartbeatLife.Milliseconds())
	if err != nil {
		return nil, err
	}
	alive := make([]string, len(reply)-1)
	for i := range alive {
		alive[i] = reply.text(1 + i)
	}
	return a.owner.among(alive), nil
}

// leave gives this instance's partitions to the others at once.
func (a *Allocator) leave(ctx context.Context) error {
	if err := a.redis.ZRem(ctx, instancesKey, a.owner.instance).Err(); err != nil {
		return a.failed(err, 1)
	}
	return nil
}
