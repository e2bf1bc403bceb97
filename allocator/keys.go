package allocator

import (
	"encoding/base64"
	"strconv"

	"github.com/google/uuid"
)

// Partitions is how many partitions a store has. Every key of a game session and of its player sessions carries the
// hash tag of the game session's partition, so that one script call is always one slot of a Redis Cluster.
const Partitions = 256

// partition is one of the store's partitions.
type partition uint8

// keyPrefixes holds "berth:{<partition>}:" of each partition.
var keyPrefixes = func() (prefixes [Partitions]string) {
	for p := range prefixes {
		prefixes[p] = "berth:{" + strconv.Itoa(p) + "}:"
	}
	return prefixes
}()

func allPartitions() []partition {
	all := make([]partition, Partitions)
	for p := range all {
		all[p] = partition(p)
	}
	return all
}

func (p partition) prefix() string { return keyPrefixes[p] }

// ref is how keys and index entries name a game session, player session, placement or server process: 16 bytes, the first of which is the
// partition, in 22 characters of URL-safe base64.
type ref struct {
	partition partition
	text      string
}

func refOf(id [16]byte) ref {
	return ref{partition(id[0]), base64.RawURLEncoding.EncodeToString(id[:])}
}

// parseRef reads a ref in a key that anybody may have written, and returns false when it is none.
func parseRef(text string) (ref, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != 16 {
		return ref{}, false
	}
	return refOf([16]byte(raw)), true
}

// uuid returns the bytes of the ref.
func (r ref) uuid() (id uuid.UUID) {
	_, _ = base64.RawURLEncoding.Decode(id[:], []byte(r.text)) // every ref was encoded here
	return id
}

// Keys of a partition.

// deadlinesKey: sorted set, game session ref -> earliest deadline of its reservations in ms (or earlier).
func deadlinesKey(p partition) string { return p.prefix() + "deadlines" }

// endedKey: sorted set, player session ref -> when it ended in ms.
func endedKey(p partition) string { return p.prefix() + "ended" }

// endedGamesKey: sorted set, game session ref -> when it ended in ms.
func endedGamesKey(p partition) string { return p.prefix() + "ended_games" }

// pendingPlacementsKey: sorted set, ref of a PENDING placement -> when it is to be tried next in ms.
func pendingPlacementsKey(p partition) string { return p.prefix() + "pending_placements" }

// endedPlacementsKey: sorted set, placement ref -> when it ended in ms.
func endedPlacementsKey(p partition) string { return p.prefix() + "ended_placements" }

// placementKey: hash, a placement's record.
func placementKey(r ref) string { return r.partition.prefix() + "placement:" + r.text }

// playerKey: sorted set, refs of a player's player sessions in this partition -> creation in ms.
func playerKey(p partition, playerID string) string { return p.prefix() + "player:" + playerID }

// fleetGameSessionsKey: sorted set, refs of a fleet's game sessions in this partition -> creation in ms.
func fleetGameSessionsKey(p partition, fleet FleetID) string {
	return p.prefix() + "fleet:" + string(fleet)
}

// liveGameSessionsKey: sorted set, refs of a fleet's game sessions in this partition that have not ended -> creation in ms.
func liveGameSessionsKey(p partition, fleet FleetID) string {
	return p.prefix() + "live:" + string(fleet)
}

// Keys of a game session.

// gameSessionKey: hash, the game session's record.
func gameSessionKey(r ref) string { return r.partition.prefix() + "gs:" + r.text }

// playerSessionsKey: sorted set, refs of its player sessions -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended. So
// what has a score above the present time holds a slot.
func playerSessionsKey(r ref) string { return r.partition.prefix() + "players:" + r.text }

// sealKey: string that says that a game session has refused a PlacePlayerSessions call for good. It expires.
func sealKey(r ref, digest string) string {
	return r.partition.prefix() + "seal:" + r.text + ":" + digest
}

// placeKey: string, the id of the game session in which a PlacePlayerSessions call tries to reserve. It expires.
func placeKey(p partition, digest string) string { return p.prefix() + "place:" + digest }

// Keys of a fleet's server processes. They share the partition of the fleet, so that one script chooses among all of them.

// reviewsKey: sorted set, server process ref -> when it is to be reviewed next in ms (or earlier).
func reviewsKey(p partition) string { return p.prefix() + "reviews" }

// attendanceKey: hash, since when there has always been somebody who sees to the partition's server processes, and when there was last, in
// ms. It expires.
func attendanceKey(p partition) string { return p.prefix() + "attendance" }

// serverProcessKey: hash, a server process's record.
func serverProcessKey(r ref) string { return r.partition.prefix() + "process:" + r.text }

// serverProcessesKey: sorted set, refs of a fleet's server processes -> registration in ms.
func serverProcessesKey(fleet FleetID) string {
	return fleetPartition(fleet).prefix() + "processes:" + string(fleet)
}

// idleServerProcessesKey: sorted set, refs of those at a location that may be given a game session -> since when in ms.
func idleServerProcessesKey(fleet FleetID, location string) string {
	return fleetPartition(fleet).prefix() + "idle:" + string(fleet) + ":" + location
}

// goneKey: string, the digest of the credential of a server process that was given up. It expires.
func goneKey(r ref) string { return r.partition.prefix() + "gone:" + r.text }

// answerKey: string, how a request of a server process was answered. It expires.
func answerKey(r ref, digest string) string {
	return r.partition.prefix() + "answer:" + r.text + ":" + digest
}

// Keys of a player session.

// playerSessionKey: hash, the player session's record.
func playerSessionKey(r ref) string { return r.partition.prefix() + "ps:" + r.text }

// ttlKey: string that expires at the deadline of a reservation; its expired event asks for the partition's sweep.
func ttlKey(r ref) string { return r.partition.prefix() + "ttl:" + r.text }

// Keys of the control plane. It is small and seldom changes, so all of it shares one hash tag.
const (
	controlPrefix = "berth:{control}:"
	// storeKey: hash, the facts that a store keeps for good.
	storeKey = controlPrefix + "store"
	// instancesKey: sorted set, instance id -> last heartbeat in ms.
	instancesKey = controlPrefix + "instances"
	// locationsKey: sorted set, location name -> creation in ms.
	locationsKey = controlPrefix + "locations"
	// fleetsKey: sorted set, fleet id -> creation in ms.
	fleetsKey = controlPrefix + "fleets"
	// aliasesKey: sorted set, alias id -> creation in ms.
	aliasesKey = controlPrefix + "aliases"
	// queuesKey: sorted set, game session queue name -> creation in ms.
	queuesKey = controlPrefix + "queues"
)

// queueKey: hash, a game session queue's record.
func queueKey(name string) string { return controlPrefix + "queue:" + name }

// tagsKey: hash, tags of a resource, which is "<type>/<id>" as in its ARN.
func tagsKey(resource string) string { return controlPrefix + "tags:" + resource }

// aliasKey: hash, an alias's record.
func aliasKey(id AliasID) string { return controlPrefix + "alias:" + string(id) }

// locationFleetsKey: set, ids of the fleets that have a location.
func locationFleetsKey(location string) string { return locationKey(location) + ":fleets" }

// creatorsKey: sorted set, ids of those who created game sessions in a fleet whose creators are limited -> the last in ms.
func creatorsKey(fleet FleetID) string { return fleetKey(fleet) + ":creators" }

// creatorKey: sorted set, refs of the game sessions that one of them created in the period of the limit -> creation in ms.
func creatorKey(fleet FleetID, creator string) string { return fleetKey(fleet) + ":creator:" + creator }

// computeAuthTokensKey: sorted set, hashes of the tokens of a compute -> when they expire in ms. It expires with the last of them.
func computeAuthTokensKey(fleet FleetID, name string) string {
	return fleetKey(fleet) + ":tokens:" + name
}

// locationKey: hash, a location's record.
func locationKey(name string) string { return controlPrefix + "location:" + name }

// fleetKey: hash, a fleet's record.
func fleetKey(fleet FleetID) string { return controlPrefix + "fleet:" + string(fleet) }

// fleetLocationsKey: sorted set, names of a fleet's locations -> creation in ms.
func fleetLocationsKey(fleet FleetID) string { return fleetKey(fleet) + ":locations" }

// computeKey: hash, a compute's record.
func computeKey(fleet FleetID, name string) string { return fleetKey(fleet) + ":compute:" + name }

// computesKey: sorted set, names of a fleet's computes, all or those of one location -> registration in ms.
func computesKey(fleet FleetID, location string) string {
	if location == "" {
		return fleetKey(fleet) + ":computes"
	}
	return fleetKey(fleet) + ":computes:" + location
}
