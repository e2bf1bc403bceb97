package gameserver

import (
	"cmp"
	"context"
	"time"
)

// AcceptPlayerSession says that the player of a reservation has connected, and takes the reservation up (RESERVED → ACTIVE). A player
// whose player session is refused should be sent away.
func (p *Process) AcceptPlayerSession(ctx context.Context, gameSessionID, playerSessionID string) error {
	return p.request(ctx, "AcceptPlayerSession", nil,
		Member{"GameSessionId", given(gameSessionID)}, Member{"PlayerSessionId", given(playerSessionID)})
}

// RemovePlayerSession says that a player has left, and frees its slot (ACTIVE → COMPLETED).
func (p *Process) RemovePlayerSession(ctx context.Context, gameSessionID, playerSessionID string) error {
	return p.request(ctx, "RemovePlayerSession", nil,
		Member{"GameSessionId", given(gameSessionID)}, Member{"PlayerSessionId", given(playerSessionID)})
}

// PlayerSession is a player's slot in a game session.
type PlayerSession struct {
	PlayerID        string
	PlayerSessionID string
	GameSessionID   string
	FleetID         string
	PlayerData      string
	IPAddress       string
	Port            int
	DNSName         string
	Status          PlayerSessionStatus
	CreationTime    time.Time
	TerminationTime time.Time // zero until it has ended
}

// PlayerSessionStatus is how far a player session has come.
type PlayerSessionStatus string

// The statuses of player sessions.
const (
	Reserved  PlayerSessionStatus = "RESERVED"
	Active    PlayerSessionStatus = "ACTIVE"
	Completed PlayerSessionStatus = "COMPLETED"
	TimedOut  PlayerSessionStatus = "TIMEDOUT"
)

// PlayerSessionQuery says which player sessions to describe: exactly one of GameSessionID, PlayerID and PlayerSessionID is to be given.
type PlayerSessionQuery struct {
	GameSessionID   string
	PlayerID        string
	PlayerSessionID string
	Status          PlayerSessionStatus // only those; default all
	Limit           int                 // how many at most; default is the service's
	NextToken       string              // of the page before
}

// PlayerSessionPage is one page of player sessions.
type PlayerSessionPage struct {
	PlayerSessions []PlayerSession
	NextToken      string // for the next page; empty on the last
}

// DescribePlayerSessions returns a page of the player sessions that the query is for.
func (p *Process) DescribePlayerSessions(ctx context.Context, query PlayerSessionQuery) (PlayerSessionPage, error) {
	var described struct {
		NextToken      string
		PlayerSessions []struct {
			PlayerID        string `json:"PlayerId"`
			PlayerSessionID string `json:"PlayerSessionId"`
			GameSessionID   string `json:"GameSessionId"`
			FleetID         string `json:"FleetId"`
			PlayerData      string
			IPAddress       string `json:"IpAddress"`
			Port            int
			DNSName         string `json:"DnsName"`
			Status          PlayerSessionStatus
			CreationTime    int64
			TerminationTime int64
		}
	}
	err := p.request(ctx, "DescribePlayerSessions", &described,
		Member{"GameSessionId", given(query.GameSessionID)},
		Member{"PlayerId", given(query.PlayerID)},
		Member{"PlayerSessionId", given(query.PlayerSessionID)},
		Member{"PlayerSessionStatusFilter", given(query.Status)},
		Member{"NextToken", given(query.NextToken)},
		Member{"Limit", given(cmp.Or(query.Limit, p.accent.describeLimit))})
	if err != nil {
		return PlayerSessionPage{}, err
	}
	page := PlayerSessionPage{NextToken: described.NextToken}
	for _, session := range described.PlayerSessions {
		page.PlayerSessions = append(page.PlayerSessions, PlayerSession{
			PlayerID:        session.PlayerID,
			PlayerSessionID: session.PlayerSessionID,
			GameSessionID:   session.GameSessionID,
			FleetID:         session.FleetID,
			PlayerData:      session.PlayerData,
			IPAddress:       session.IPAddress,
			Port:            session.Port,
			DNSName:         session.DNSName,
			Status:          session.Status,
			CreationTime:    fromMillis(session.CreationTime),
			TerminationTime: fromMillis(session.TerminationTime),
		})
	}
	return page, nil
}
