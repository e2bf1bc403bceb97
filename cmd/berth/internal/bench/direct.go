package bench

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// direct makes reservations in the store without any service. All its copies share one pipelined connection.
type direct struct {
	player *player // whose ids and game sessions it uses
	run    func(context.Context, reservation) (reply []any, err error)
}

func (d direct) call(ctx context.Context) (operation, outcome string, err error) {
	from := d.player.world.many
	if d.player.mix.pick().name == "reserve-hot" {
		from = d.player.world.hot
	}
	game, _, err := from.take(ctx, 1)
	if err != nil {
		return "", "", err
	}
	return "EVALSHA", outcomeOf(d.run(ctx, newReservation(game, d.player.newID()))), nil
}

// pipelined returns what gathers the commands that many callers send at once into pipelines on one connection.
func pipelined(client redis.UniversalClient) (*redis.AutoPipeliner, error) {
	switch client := client.(type) {
	case *redis.Client:
		return client.AutoPipeline()
	case *redis.ClusterClient:
		return client.AutoPipeline()
	}
	return nil, fmt.Errorf("a %T cannot be pipelined", client)
}

// bareScript reserves by the script alone.
func bareScript(pipe redis.Scripter) func(context.Context, reservation) ([]any, error) {
	return func(ctx context.Context, r reservation) ([]any, error) {
		return reserveScript.EvalSha(ctx, pipe, r.keys, r.args()...).Slice()
	}
}

// yardstickScript is what the store's time is compared with: two records with a time to live.
var yardstickScript = redis.NewScript(`
redis.call('HSET', KEYS[1], 'game_session', ARGV[1], 'player', ARGV[2])
redis.call('HSET', KEYS[2], 'game_session', ARGV[1], 'player_session', ARGV[3])
redis.call('EXPIRE', KEYS[1], 60)
redis.call('EXPIRE', KEYS[2], 60)
return {'OK'}`)

// yardstick writes two records, with keys and values of the size that a reservation's have.
func yardstick(pipe redis.Scripter) func(context.Context, reservation) ([]any, error) {
	return func(ctx context.Context, r reservation) ([]any, error) {
		return yardstickScript.EvalSha(ctx, pipe, []string{r.sessionKey(), r.playerKey()}, r.game, r.player, r.session).Slice()
	}
}

// loadScripts gives the masters the scripts, which nobody is to send while it is measured.
func loadScripts(ctx context.Context, client redis.UniversalClient) error {
	return eachMaster(ctx, client, func(ctx context.Context, master redis.Cmdable) error {
		for _, script := range []*redis.Script{reserveScript, yardstickScript} {
			if err := script.Load(ctx, master).Err(); err != nil {
				return fmt.Errorf("loading scripts: %w", err)
			}
		}
		return nil
	})
}
