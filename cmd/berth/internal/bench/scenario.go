package bench

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

// scenario is something that callers ask for.
type scenario struct {
	name  string
	about string
	steps int // requests, one after the other, until it begins again
	call  func(context.Context, *player) (operation, outcome string, err error)
}

// scenarios are all that there are.
var scenarios = []scenario{
	{"reserve-hot", "reservations in one game session, until it is full, then in the next", 1, reserveHot},
	{"reserve", "reservations over many game sessions", 1, reserve},
	{"group", "reservations for groups of players, over many game sessions", 1, reserveGroup},
	{"life", "reservation, acceptance and removal, over many game sessions", 3, live},
	{"describe", "reads of player sessions by their ids", 1, describe},
	{"search", "searches for game sessions with room", 1, search},
	{"place", "placements of players wherever there is room", 1, place},
}

func scenarioOf(name string) (scenario, bool) {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		return scenario{}, false
	}
	return scenarios[i], true
}

// world is what the requests of players are about.
type world struct {
	fleet, placeFleet string
	many, hot, place  *games
	described         []string // player sessions
	group             int      // players in a group
}

// player makes the requests of a mix of scenarios over a connection.
type player struct {
	connection *connection
	world      *world
	mix        Mix
	name       string
	requests   int
	life       struct {
		stage         stage
		room          *room
		game, session string
	}
}

// stage is how far the life of a player session has come.
type stage int

const (
	begun stage = iota // there is none yet
	reserved
	accepted
)

func newPlayer(c *connection, w *world, mix Mix) *player {
	return &player{connection: c, world: w, mix: mix, name: "player-" + uuid.NewString()[:8] + "-"}
}

func (p *player) call(ctx context.Context) (operation, outcome string, err error) {
	return p.mix.pick().call(ctx, p)
}

// newID returns the id of a player who has not been seen before.
func (p *player) newID() string {
	p.requests++
	return p.name + strconv.Itoa(p.requests)
}

func (p *player) do(operation string, in input) (string, string, error) {
	outcome, _ := p.connection.do(operation, &in)
	return operation, outcome, nil
}

func reserveHot(ctx context.Context, p *player) (operation, outcome string, err error) {
	return p.reserveIn(ctx, p.world.hot)
}

func reserve(ctx context.Context, p *player) (operation, outcome string, err error) {
	return p.reserveIn(ctx, p.world.many)
}

func (p *player) reserveIn(ctx context.Context, g *games) (operation, outcome string, err error) {
	game, _, err := g.take(ctx, 1)
	if err != nil {
		return "", "", err
	}
	return p.do("CreatePlayerSession", input{GameSessionId: game, PlayerId: p.newID()})
}

func reserveGroup(ctx context.Context, p *player) (operation, outcome string, err error) {
	players := make([]string, p.world.group)
	for i := range players {
		players[i] = p.newID()
	}
	game, _, err := p.world.many.take(ctx, len(players))
	if err != nil {
		return "", "", err
	}
	return p.do("CreatePlayerSessions", input{GameSessionId: game, PlayerIds: players})
}

// live makes the next request in the life of a player session. One that fails ends it.
func live(ctx context.Context, p *player) (operation, outcome string, err error) {
	in := input{GameSessionId: p.life.game, PlayerSessionId: p.life.session}
	switch p.life.stage {
	case reserved:
		operation, outcome, err = p.do("AcceptPlayerSession", in)
		p.life.stage = accepted
	case accepted:
		operation, outcome, err = p.do("RemovePlayerSession", in)
		p.life.stage = begun
		if outcome == succeeded {
			p.world.many.give(p.life.room)
		}
	default:
		if p.life.game, p.life.room, err = p.world.many.take(ctx, 1); err != nil {
			return "", "", err
		}
		operation, outcome, err = p.do("CreatePlayerSession", input{GameSessionId: p.life.game, PlayerId: p.newID()})
		p.life.session = playerSessionIn(p.connection.reply.Body())
		p.life.stage = reserved
	}
	if outcome != succeeded {
		p.life.stage = begun
	}
	return operation, outcome, err
}

// playerSessionIn finds the id of the player session in a reply, whatever its protocol.
func playerSessionIn(body []byte) string {
	const length = len("psess-") + 36
	if i := bytes.Index(body, []byte("psess-")); i >= 0 && len(body) >= i+length {
		return string(body[i : i+length])
	}
	return ""
}

func describe(_ context.Context, p *player) (operation, outcome string, err error) {
	return p.do("DescribePlayerSessions", input{PlayerSessionId: p.world.described[rand.IntN(len(p.world.described))]})
}

const withRoom = "hasAvailablePlayerSessions=true"

func search(_ context.Context, p *player) (operation, outcome string, err error) {
	return p.do("SearchGameSessions", input{FleetId: p.world.fleet, FilterExpression: withRoom, SortExpression: "playerSessionCount DESC"})
}

func place(ctx context.Context, p *player) (operation, outcome string, err error) {
	if _, _, err := p.world.place.take(ctx, 1); err != nil { // wherever it will be, there is to be room for one more
		return "", "", err
	}
	return p.do("PlacePlayerSessions", input{FleetId: p.world.placeFleet, FilterExpression: withRoom, PlayerIds: []string{p.newID()}})
}
