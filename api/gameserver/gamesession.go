package gameserver

import "context"

// GameSession is a game session that the process hosts.
type GameSession struct {
	GameSessionID             string
	Name                      string
	FleetID                   string // in updates only, as Location, Status and StatusReason
	MaximumPlayerSessionCount int
	IPAddress                 string
	Port                      int
	DNSName                   string
	GameSessionData           string
	MatchmakerData            string // JSON
	GameProperties            map[string]string
	Location                  string
	Status                    string
	StatusReason              string
}

// GameSessionUpdate is a change in a game session that the process hosts.
type GameSessionUpdate struct {
	GameSession      GameSession
	Reason           UpdateReason
	BackfillTicketID string
}

// UpdateReason is why a game session was updated.
type UpdateReason string

// The reasons of updates.
const (
	MatchmakingDataUpdated UpdateReason = "MATCHMAKING_DATA_UPDATED"
	BackfillFailed         UpdateReason = "BACKFILL_FAILED"
	BackfillTimedOut       UpdateReason = "BACKFILL_TIMED_OUT"
	BackfillCancelled      UpdateReason = "BACKFILL_CANCELLED"
)

// ActivateGameSession says that the game session is ready for its players.
func (p *Process) ActivateGameSession(ctx context.Context, gameSessionID string) error {
	return p.request(ctx, "ActivateGameSession", nil, Member{"GameSessionId", given(gameSessionID)})
}

// PlayerSessionCreationPolicy is whether a game session takes new player sessions.
type PlayerSessionCreationPolicy string

// The policies.
const (
	AcceptAll PlayerSessionCreationPolicy = "ACCEPT_ALL"
	DenyAll   PlayerSessionCreationPolicy = "DENY_ALL"
)

// UpdatePlayerSessionCreationPolicy opens the game session to new player sessions or closes it. Those that exist stay.
func (p *Process) UpdatePlayerSessionCreationPolicy(ctx context.Context, gameSessionID string, policy PlayerSessionCreationPolicy) error {
	return p.request(ctx, "UpdatePlayerSessionCreationPolicy", nil,
		Member{"GameSessionId", given(gameSessionID)}, Member{"PlayerSessionPolicy", given(policy)})
}

type createGameSession struct {
	GameSessionID             string `json:"GameSessionId"`
	GameSessionName           string
	GameSessionData           string
	MatchmakerData            string
	MaximumPlayerSessionCount int
	IPAddress                 string `json:"IpAddress"`
	Port                      int
	DNSName                   string `json:"DnsName"`
	GameProperties            map[string]string
}

func (c createGameSession) gameSession() GameSession {
	return GameSession{
		GameSessionID:             c.GameSessionID,
		Name:                      c.GameSessionName,
		MaximumPlayerSessionCount: c.MaximumPlayerSessionCount,
		IPAddress:                 c.IPAddress,
		Port:                      c.Port,
		DNSName:                   c.DNSName,
		GameSessionData:           c.GameSessionData,
		MatchmakerData:            c.MatchmakerData,
		GameProperties:            c.GameProperties,
	}
}

type updateGameSession struct {
	GameSession struct {
		GameSessionID             string `json:"GameSessionId"`
		Name                      string
		FleetID                   string `json:"FleetId"`
		MaximumPlayerSessionCount int
		IPAddress                 string `json:"IpAddress"`
		Port                      int
		DNSName                   string `json:"DnsName"`
		GameSessionData           string
		MatchmakerData            string
		GameProperties            map[string]string
		Location                  string
		Status                    string
		StatusReason              string
	}
	UpdateReason     UpdateReason
	BackfillTicketID string `json:"BackfillTicketId"`
}

func (u updateGameSession) gameSessionUpdate() GameSessionUpdate {
	return GameSessionUpdate{
		GameSession:      GameSession(u.GameSession),
		Reason:           u.UpdateReason,
		BackfillTicketID: u.BackfillTicketID,
	}
}
