package bench

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
)

// output is the reply to a reservation.
type output struct{ PlayerSession playerSession }

type playerSession struct {
	PlayerSessionId string
	PlayerId        string
	GameSessionId   string
	FleetId         string
	FleetArn        string
	CreationTime    float64
	Status          string
	IpAddress       string
	DnsName         string
	Port            int
}

// newReserving serves CreatePlayerSession in the way that reserve does it.
func newReserving(reserve func(context.Context, reservation) (outcome string)) http.Handler {
	return newHandler(func(c *gin.Context, p *Protocol, operation string, in *input) ([]byte, *failure) {
		if operation != "CreatePlayerSession" || in.GameSessionId == "" || in.PlayerId == "" {
			return nil, &failure{http.StatusBadRequest, "InvalidRequestException"}
		}
		r := newReservation(in.GameSessionId, in.PlayerId)
		switch outcome := reserve(c.Request.Context(), r); outcome {
		case succeeded:
		case full:
			return nil, &failure{http.StatusBadRequest, full}
		default:
			return nil, &failure{http.StatusInternalServerError, outcome}
		}
		fleet := in.GameSessionId[strings.Index(in.GameSessionId, "/")+1 : strings.LastIndexByte(in.GameSessionId, '/')]
		body, err := p.marshal(output{playerSession{
			PlayerSessionId: "psess-" + r.sessionID.String(), PlayerId: in.PlayerId, GameSessionId: in.GameSessionId,
			FleetId: fleet, FleetArn: "arn:aws:gamelift:us-east-1::fleet/" + fleet,
			CreationTime: float64(time.Now().UnixMilli()) / 1000, Status: "RESERVED",
			IpAddress: "192.0.2.10", DnsName: "host.bench.example.com", Port: 7777,
		}})
		if err != nil {
			return nil, &failure{http.StatusInternalServerError, "InternalServiceException"}
		}
		return body, nil
	})
}

// newNaive serves reservations by the script, each with a call of its own on a connection of go-redis' pool.
func newNaive(client redis.UniversalClient) http.Handler {
	return newReserving(func(ctx context.Context, r reservation) string {
		return outcomeOf(reserveScript.Run(ctx, client, r.keys, r.args()...).Slice())
	})
}

// watches is how often a reservation with WATCH is tried when others come in between.
const watches = 1000

// newWatching serves reservations without a script: WATCH, look, MULTI.
func newWatching(client redis.UniversalClient) http.Handler {
	return newReserving(func(ctx context.Context, r reservation) string {
		for range watches {
			outcome := succeeded
			err := client.Watch(ctx, func(tx *redis.Tx) (err error) {
				outcome, err = r.watched(ctx, tx)
				return err
			}, r.gameKey(), r.sessionsKey())
			switch {
			case err == nil:
				return outcome
			case !errors.Is(err, redis.TxFailedErr):
				return storeOutcome(err)
			}
		}
		return "others came in between"
	})
}

// watched reserves unless somebody else changes the game session in the meantime. It does what the script does.
func (r reservation) watched(ctx context.Context, tx *redis.Tx) (outcome string, err error) {
	game := tx.HMGet(ctx, r.gameKey(), "status", "policy", "max")
	if err := game.Err(); err != nil {
		return "", err
	}
	var facts struct {
		Status string `redis:"status"`
		Policy string `redis:"policy"`
		Max    int64  `redis:"max"`
	}
	if err := game.Scan(&facts); err != nil {
		return "", err
	}
	if facts.Status != "ACTIVE" || facts.Policy != "ACCEPT_ALL" {
		return "InvalidGameSessionStatusException", nil
	}
	now := time.Now().UnixMilli()
	taken, err := tx.ZCount(ctx, r.sessionsKey(), "("+decimal(now), "+inf").Result()
	if err != nil {
		return "", err
	}
	if taken >= facts.Max {
		return full, nil
	}
	deadline := now + reservationTimeout
	_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSet(ctx, r.sessionKey(), "game_session", r.game, "player", r.player, "status", "RESERVED", "created", now, "deadline", deadline)
		pipe.Set(ctx, r.ttlKey(), 1, reservationTimeout*time.Millisecond)
		pipe.ZAdd(ctx, r.sessionsKey(), redis.Z{Score: float64(deadline), Member: r.session})
		pipe.ZAddLT(ctx, r.deadlinesKey(), redis.Z{Score: float64(deadline), Member: r.game})
		pipe.ZAdd(ctx, r.playerKey(), redis.Z{Score: float64(now), Member: r.session})
		return nil
	})
	return succeeded, err
}
