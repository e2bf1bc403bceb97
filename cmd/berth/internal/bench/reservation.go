package bench

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/lua"
)

// Prefix begins every key of what Berth is compared with. Berth's own begin otherwise.
const Prefix = "berth-bench:"

// reservationTimeout is what the scripts are given, in ms.
const reservationTimeout = 60_000

// reserveScript is the script with which Berth reserves.
var reserveScript = redis.NewScript(lua.Source("create_player_session"))

// reservation is a reservation to be made without Berth, in records like Berth's.
type reservation struct {
	game, session string // refs
	sessionID     uuid.UUID
	player        string
	keys          []string // of reserveScript
}

// The keys of a reservation by name.
func (r reservation) gameKey() string      { return r.keys[0] }
func (r reservation) sessionsKey() string  { return r.keys[1] }
func (r reservation) deadlinesKey() string { return r.keys[2] }
func (r reservation) sessionKey() string   { return r.keys[3] }
func (r reservation) ttlKey() string       { return r.keys[4] }
func (r reservation) playerKey() string    { return r.keys[5] }

// created is when the game sessions were created, in ms: the callers know their facts, as Berth does.
const created = "1700000000000"

// args are the arguments of reserveScript.
func (r reservation) args() []any {
	return []any{r.game, r.session, r.player, "", reservationTimeout, created}
}

// newReservation returns a reservation in a game session that createStoredGame made.
func newReservation(gameID, player string) reservation {
	game := gameID[strings.LastIndexByte(gameID, '/')+1:]
	first, _ := base64.RawURLEncoding.DecodeString(game[:min(2, len(game))])
	var partition byte
	if len(first) > 0 {
		partition = first[0]
	}
	id := uuid.New()
	id[0] = partition
	session := base64.RawURLEncoding.EncodeToString(id[:])
	prefix := partitionPrefix(partition)
	return reservation{game, session, id, player, []string{
		prefix + "gs:" + game, prefix + "players:" + game, prefix + "deadlines",
		prefix + "ps:" + session, prefix + "ttl:" + session, prefix + "player:" + player,
	}}
}

func partitionPrefix(partition byte) string {
	return Prefix + "{" + strconv.Itoa(int(partition)) + "}:"
}

// isGame tells whether a key is that of a game session.
func isGame(key string) bool { return strings.Contains(key, "}:gs:") }

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// createStoredGame makes the record of a game session, and returns its id.
func createStoredGame(ctx context.Context, client redis.UniversalClient, slots int) (string, error) {
	id := uuid.New()
	ref := base64.RawURLEncoding.EncodeToString(id[:])
	fleet := "fleet-" + uuid.NewString()
	game := "arn:aws:gamelift:us-east-1::gamesession/" + fleet + "/" + ref
	return game, client.HSet(ctx, partitionPrefix(id[0])+"gs:"+ref,
		"fleet", fleet, "id", game, "ip", "192.0.2.10", "dns", "host.bench.example.com", "port", 7777,
		"status", "ACTIVE", "policy", "ACCEPT_ALL", "max", slots, "created", created).Err()
}

// outcomeOf names what a script that reserves replied.
func outcomeOf(reply []any, err error) string {
	switch {
	case err != nil:
		return storeOutcome(err)
	case reply[0] == "OK":
		return succeeded
	case reply[0] == "FULL":
		return full
	}
	status, _ := reply[0].(string)
	return "reply " + status
}

// storeOutcome names what went wrong at the store, in few enough words that outcomes can be counted by them.
func storeOutcome(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	word, _, _ := strings.Cut(err.Error(), " ")
	return "store: " + strings.TrimSuffix(word, ":")
}
