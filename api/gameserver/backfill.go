package gameserver

import (
	"context"
	"fmt"
)

// Backfill asks for players for the free slots of a game session.
type Backfill struct {
	GameSessionARN              string // the game session id
	MatchmakingConfigurationARN string
	TicketID                    string // default: the service makes one
	Players                     []BackfillPlayer
}

// BackfillPlayer is a player who is in the game session already.
type BackfillPlayer struct {
	PlayerID string
	Team     string
	// Attributes are for the rules of the matchmaker: each a string, a float64, a []string or a map[string]float64.
	Attributes map[string]any
	LatencyMS  map[string]int // by region
}

// StartMatchBackfill starts a backfill and returns the id of its ticket.
func (p *Process) StartMatchBackfill(ctx context.Context, b Backfill) (ticketID string, err error) {
	var players [][]Member
	for _, player := range b.Players {
		attributes, err := attributes(player.Attributes)
		if err != nil {
			return "", fmt.Errorf("player %q: %w", player.PlayerID, err)
		}
		players = append(players, []Member{
			{"PlayerId", p.accent.text(player.PlayerID)},
			{"Team", p.accent.text(player.Team)},
			{"PlayerAttributes", attributes},
			{"LatencyInMs", player.LatencyMS},
		})
	}
	var started struct {
		TicketID string `json:"TicketId"`
	}
	err = p.request(ctx, "StartMatchBackfill", &started,
		Member{"GameSessionArn", given(b.GameSessionARN)},
		Member{"MatchmakingConfigurationArn", given(b.MatchmakingConfigurationARN)},
		Member{"TicketId", p.accent.text(b.TicketID)},
		Member{"Players", players})
	return started.TicketID, err
}

// StopMatchBackfill calls a backfill off.
func (p *Process) StopMatchBackfill(ctx context.Context, gameSessionARN, matchmakingConfigurationARN, ticketID string) error {
	return p.request(ctx, "StopMatchBackfill", nil,
		Member{"GameSessionArn", given(gameSessionARN)},
		Member{"MatchmakingConfigurationArn", given(matchmakingConfigurationARN)},
		Member{"TicketId", given(ticketID)})
}

// attributes gives each value the shape in which it is sent.
func attributes(values map[string]any) (map[string]any, error) {
	if values == nil {
		return nil, nil
	}
	shaped := make(map[string]any, len(values))
	for name, value := range values {
		var kind, member string
		switch value.(type) {
		case string:
			kind, member = "STRING", "S"
		case float64:
			kind, member = "DOUBLE", "N"
		case []string:
			kind, member = "STRING_LIST", "SL"
		case map[string]float64:
			kind, member = "STRING_DOUBLE_MAP", "SDM"
		default:
			return nil, fmt.Errorf("the attribute %q is of the type %T; give a string, a float64, a []string or a map[string]float64", name, value)
		}
		shaped[name] = map[string]any{"AttrType": kind, member: value}
	}
	return shaped, nil
}
