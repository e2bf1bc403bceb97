package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/berthgg/berth/allocator"
)

// request is a frame of a game server.
type request struct {
	Action    string
	RequestID string `json:"RequestId"`
	frame     []byte
	came      time.Time
}

// parseRequest reads a frame as far as it has to be read to be answered.
func parseRequest(frame []byte) (request, error) {
	r := request{frame: frame}
	if err := awsJSON.decode(frame, &r); err != nil {
		return r, errors.New("it sent a frame that is no request: " + undecodable(err))
	}
	if r.Action == "" || r.RequestID == "" {
		return r, errors.New("it sent a request without Action or RequestId, which cannot be answered")
	}
	return r, nil
}

// name names the request among those of the process.
func (r request) name() string { return r.Action + " " + r.RequestID }

// response is a frame that answers a request. The Server SDK needs the first three members.
type response struct {
	Action       string
	RequestID    string `json:"RequestId"`
	StatusCode   int
	ErrorMessage string         `json:",omitzero"`
	Members      jsontext.Value `json:",embed"` // of the action
}

// action is a row of the table of what game servers ask for.
type action struct {
	name     string
	keeps    keeping
	lapses   bool // it is not done for a game server that has given it up
	newInput func() any
	// run takes what newInput returned, filled and valid, and returns a struct of further members of the response, or nil.
	run func(ctx context.Context, g *gameServer, input any, r request) (any, error)
}

// keeping says which answers are kept for a request that comes a second time, with the same RequestId.
type keeping int

const (
	keepNone     keeping = iota // it changes nothing, or twice nothing more than once
	keepRefusals                // what it does notices by itself that it is repeated
	keepAll
)

func actionRow[In any](name string, keeps keeping, run func(context.Context, *gameServer, *In, request) (any, error)) action {
	return action{name: name, keeps: keeps, newInput: func() any { return new(In) }, run: func(ctx context.Context, g *gameServer, input any, r request) (any, error) {
		return run(ctx, g, input.(*In), r)
	}}
}

// playerSessionRow makes a row of the operation of that name, on a player session of a game session that must run on the process.
func playerSessionRow(name string) action {
	operation, known := operations[name]
	if !known {
		panic("api: there is no operation " + name)
	}
	return actionRow(name, keepRefusals, func(ctx context.Context, g *gameServer, in *playerSessionInput, r request) (any, error) {
		if err := g.process.Hosts(ctx, allocator.GameSessionID(*in.GameSessionId)); err != nil {
			return nil, err
		}
		_, err := operation.run(ctx, g.allocator, in, caller{retryToken: g.retryToken(r)})
		return nil, err
	})
}

// lapsing makes of a row one whose request is not done when the game server has given it up: a player who was turned away then would hold a
// slot for as long as the game session lasts.
func lapsing(row action) action {
	row.lapses = true
	return row
}

// retryToken names a request among all of all processes.
func (g *gameServer) retryToken(r request) string {
	id := g.process.ID
	return fmt.Sprintf("server process %s %s %q %s", id.FleetID, id.ComputeName, id.ProcessID, r.RequestID)
}

var actions = func() map[string]action {
	byName := make(map[string]action)
	for _, row := range []action{
		actionRow("ActivateServerProcess", keepAll, activateServerProcess),
		actionRow("HeartbeatServerProcess", keepNone, heartbeatServerProcess),
		actionRow("TerminateServerProcess", keepAll, terminateServerProcess),
		actionRow("ActivateGameSession", keepRefusals, activateGameSession),
		lapsing(playerSessionRow("AcceptPlayerSession")),
		playerSessionRow("RemovePlayerSession"),
		actionRow("UpdatePlayerSessionCreationPolicy", keepAll, updatePlayerSessionCreationPolicy),
		actionRow("DescribePlayerSessions", keepNone, describeOwnPlayerSessions),
		actionRow("StartMatchBackfill", keepNone, noMatchmaker),
		actionRow("StopMatchBackfill", keepNone, noMatchmaker),
		actionRow("GetComputeCertificate", keepNone, getComputeCertificate),
		actionRow("GetFleetRoleCredentials", keepNone, getFleetRoleCredentials),
	} {
		byName[row.name] = row
	}
	return byName
}()

type activateServerProcessInput struct {
	SdkVersion  *string `validate:"omitnil,max=128"`
	SdkLanguage *string `validate:"omitnil,max=128"`
	Port        *int    `validate:"required,min=1,max=65535"`
}

func activateServerProcess(ctx context.Context, g *gameServer, in *activateServerProcessInput, _ request) (any, error) {
	return nil, g.process.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{
		Port: *in.Port, SDK: value(in.SdkLanguage) + " " + value(in.SdkVersion),
	})
}

type heartbeatServerProcessInput struct {
	HealthStatus *bool `validate:"required"`
}

func heartbeatServerProcess(ctx context.Context, g *gameServer, in *heartbeatServerProcessInput, _ request) (any, error) {
	return nil, g.process.HeartbeatServerProcess(ctx, *in.HealthStatus)
}

func terminateServerProcess(ctx context.Context, g *gameServer, _ *nothing, r request) (any, error) {
	return nil, g.process.TerminateServerProcess(ctx, r.name())
}

type activateGameSessionInput struct {
	GameSessionId *string `validate:"required,min=1,max=512,pattern=gameSessionId"`
}

func activateGameSession(ctx context.Context, g *gameServer, in *activateGameSessionInput, _ request) (any, error) {
	return nil, g.process.ActivateGameSession(ctx, allocator.GameSessionID(*in.GameSessionId))
}

type playerSessionCreationPolicyInput struct {
	GameSessionId       *string `validate:"required,min=1,max=512,pattern=gameSessionId"`
	PlayerSessionPolicy *string `validate:"required,oneof=ACCEPT_ALL DENY_ALL"`
}

func updatePlayerSessionCreationPolicy(ctx context.Context, g *gameServer, in *playerSessionCreationPolicyInput, r request) (any, error) {
	if err := g.process.Hosts(ctx, allocator.GameSessionID(*in.GameSessionId)); err != nil {
		return nil, err
	}
	_, err := operations["UpdateGameSession"].run(ctx, g.allocator, &updateGameSessionInput{
		GameSessionId: in.GameSessionId, PlayerSessionCreationPolicy: in.PlayerSessionPolicy,
	}, caller{retryToken: g.retryToken(r)})
	return nil, err
}

// hostedPlayerSession is the shape of a player session for game servers. What is not set is null.
type hostedPlayerSession struct {
	PlayerId        string
	PlayerSessionId string
	GameSessionId   string
	FleetId         string
	PlayerData      *string
	IpAddress       *string
	Port            int
	DnsName         *string
	Status          string
	CreationTime    int64 // ms since the epoch
	TerminationTime *int64
}

func hostedPlayerSessionShape(s playerSession) hostedPlayerSession {
	shape := hostedPlayerSession{
		PlayerId: s.PlayerId, PlayerSessionId: s.PlayerSessionId, GameSessionId: s.GameSessionId, FleetId: s.FleetId,
		PlayerData: given(s.PlayerData), IpAddress: given(s.IpAddress), Port: s.Port, DnsName: given(s.DnsName), Status: s.Status,
		CreationTime: time.Time(s.CreationTime).UnixMilli(),
	}
	if !s.TerminationTime.IsZero() {
		ended := time.Time(s.TerminationTime).UnixMilli()
		shape.TerminationTime = &ended
	}
	return shape
}

// ownPlayerSessionsInput is what a game server asks for player sessions with. A member that is empty or 0 is one that is not set, and there
// is no maximum for Limit: a page has as many as it can.
type ownPlayerSessionsInput struct {
	GameSessionId             *string
	PlayerId                  *string
	PlayerSessionId           *string
	PlayerSessionStatusFilter *string
	Limit                     *int
	NextToken                 *string
}

func (in *ownPlayerSessionsInput) ofControlPlane() *describePlayerSessionsInput {
	of := &describePlayerSessionsInput{
		GameSessionId: given(value(in.GameSessionId)), PlayerId: given(value(in.PlayerId)), PlayerSessionId: given(value(in.PlayerSessionId)),
		PlayerSessionStatusFilter: given(value(in.PlayerSessionStatusFilter)), NextToken: given(value(in.NextToken)),
	}
	if limit := min(value(in.Limit), allocator.MaxLimit); limit != 0 {
		of.Limit = &limit
	}
	return of
}

type hostedPlayerSessionsOutput struct {
	NextToken      *string
	PlayerSessions []hostedPlayerSession
}

func hostedPlayerSessionsShape(sessions []playerSession, next string) hostedPlayerSessionsOutput {
	return hostedPlayerSessionsOutput{given(next), shapes(sessions, hostedPlayerSessionShape)}
}

// describeOwnPlayerSessions shows a process the player sessions of the game session that runs on it, and no others.
func describeOwnPlayerSessions(ctx context.Context, g *gameServer, own *ownPlayerSessionsInput, _ request) (any, error) {
	in := own.ofControlPlane()
	if err := validate(in); err != nil {
		return nil, err
	}
	if in.GameSessionId != nil {
		if err := g.process.Hosts(ctx, allocator.GameSessionID(*in.GameSessionId)); err != nil {
			return nil, err
		}
	}
	if in.PlayerId != nil && in.GameSessionId == nil && in.PlayerSessionId == nil {
		out, err := g.process.DescribePlayer(ctx, *in.PlayerId, value(in.Limit), value(in.NextToken))
		if err != nil {
			return nil, err
		}
		return hostedPlayerSessionsShape(shapes(out.PlayerSessions, playerSessionShape), out.NextToken), nil
	}
	found, err := operations["DescribePlayerSessions"].run(ctx, g.allocator, in, caller{})
	if err != nil {
		return nil, err
	}
	page := found.(*playerSessionsOutput)
	if in.PlayerSessionId != nil {
		hosted, err := g.process.HostedGameSession(ctx)
		if err != nil {
			return nil, err
		}
		if page.PlayerSessions[0].GameSessionId != string(hosted) {
			return nil, &allocator.Error{Kind: allocator.ErrNotFound, Message: "there is no player session " + quoted(*in.PlayerSessionId) + " in a game session of this process"}
		}
	}
	return hostedPlayerSessionsShape(page.PlayerSessions, page.NextToken), nil
}

func noMatchmaker(context.Context, *gameServer, *nothing, request) (any, error) {
	return nil, invalid("Berth has no matchmaker, so nothing can be backfilled; players are let in with CreatePlayerSession")
}

type computeCertificateOutput struct{ CertificatePath, ComputeName string }

func getComputeCertificate(ctx context.Context, g *gameServer, _ *nothing, _ request) (any, error) {
	compute, err := g.allocator.DescribeCompute(ctx, g.process.ID.FleetID, g.process.ID.ComputeName)
	if err != nil {
		return nil, err
	}
	return computeCertificateOutput{compute.CertificatePath, compute.Name}, nil
}

// fleetRoleCredentialsOutput is, when empty, how the Server SDK learns that the fleet has no role.
type fleetRoleCredentialsOutput struct{ AccessKeyId string }

func getFleetRoleCredentials(context.Context, *gameServer, *nothing, request) (any, error) {
	return fleetRoleCredentialsOutput{}, nil
}

// What a game server is told. There is no RequestId: with one, Server SDKs take it for an answer.

type createGameSessionPush struct {
	Action                    string
	GameSessionId             string
	GameSessionName           string
	GameSessionData           string
	MatchmakerData            string
	MaximumPlayerSessionCount int
	IpAddress                 string
	Port                      int
	DnsName                   string
	GameProperties            map[string]string
}

type updateGameSessionPush struct {
	Action           string
	GameSession      hostedGameSession
	UpdateReason     string
	BackfillTicketId string
}

type hostedGameSession struct {
	GameSessionId             string
	Name                      string
	FleetId                   string
	MaximumPlayerSessionCount int
	IpAddress                 string
	Port                      int
	DnsName                   string
	GameSessionData           string
	MatchmakerData            string
	GameProperties            map[string]string
	Location                  string
	Status                    string
	StatusReason              string
}

type terminateProcessPush struct {
	Action          string
	TerminationTime int64 // ms since the epoch
}

// pushFrame is what a game server is told, as a frame.
func pushFrame(p allocator.Push) any {
	switch p := p.(type) {
	case allocator.StartGameSession:
		s := p.GameSession
		return createGameSessionPush{
			Action: "CreateGameSession", GameSessionId: string(s.ID), GameSessionName: s.Name, GameSessionData: s.GameSessionData,
			MaximumPlayerSessionCount: s.MaximumPlayerSessionCount, IpAddress: s.IPAddress, Port: s.Port, DnsName: s.DNSName,
			GameProperties: propertiesObject(s.GameProperties),
		}
	case allocator.UpdatedGameSession:
		s := p.GameSession
		return updateGameSessionPush{
			Action: "UpdateGameSession",
			GameSession: hostedGameSession{
				GameSessionId: string(s.ID), Name: s.Name, FleetId: string(s.FleetID), MaximumPlayerSessionCount: s.MaximumPlayerSessionCount,
				IpAddress: s.IPAddress, Port: s.Port, DnsName: s.DNSName, GameSessionData: s.GameSessionData,
				GameProperties: propertiesObject(s.GameProperties), Location: s.Location, Status: string(s.Status), StatusReason: string(s.StatusReason),
			},
			UpdateReason: "MATCHMAKING_DATA_UPDATED", // the one that there is which reports no failure
		}
	case allocator.TerminateProcess:
		return terminateProcessPush{"TerminateProcess", p.By.UnixMilli()}
	}
	panic("api: a push that is not known")
}

// propertiesObject is never null.
func propertiesObject(of map[string]string) map[string]string {
	if of == nil {
		return map[string]string{}
	}
	return maps.Clone(of)
}
