package gameserver_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthgg/berth/api/gameserver"
)

// An action of the protocol: what the process is asked, what it sends, and what it makes of the answer.
type action struct {
	name   string
	call   func(context.Context, *gameserver.Process) (any, error)
	sends  map[gameserver.Dialect]string // after Action and RequestId
	answer message
	want   any
}

// same is for what all dialects write alike.
func same(members string) map[gameserver.Dialect]string {
	return map[gameserver.Dialect]string{gameserver.Go: members, gameserver.Cpp: members, gameserver.CSharp: members}
}

func only(err error) (any, error) { return nil, err }

var actions = []action{
	{
		name: "ActivateServerProcess",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.ProcessReady(ctx, 7777, []string{"/var/log/game.log"}))
		},
		sends: map[gameserver.Dialect]string{
			gameserver.Go:     `"SdkVersion":"5.6.0","SdkLanguage":"Go","Port":7777,"LogPaths":["/var/log/game.log"]`,
			gameserver.Cpp:    `"SdkVersion":"5.4.0","SdkLanguage":"Cpp","Port":7777,"LogPaths":["/var/log/game.log"]`,
			gameserver.CSharp: `"SdkVersion":"5.4.0","SdkLanguage":"CSharp","SdkToolName":null,"SdkToolVersion":null,"Port":7777,"LogPaths":["/var/log/game.log"]`,
		},
	},
	{
		name: "ActivateServerProcess",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.ProcessReady(ctx, 7777, nil))
		},
		sends: map[gameserver.Dialect]string{
			gameserver.Go:     `"SdkVersion":"5.6.0","SdkLanguage":"Go","Port":7777,"LogPaths":null`,
			gameserver.Cpp:    `"SdkVersion":"5.4.0","SdkLanguage":"Cpp","Port":7777`,
			gameserver.CSharp: `"SdkVersion":"5.4.0","SdkLanguage":"CSharp","SdkToolName":null,"SdkToolVersion":null,"Port":7777,"LogPaths":null`,
		},
	},
	{
		name:  "HeartbeatServerProcess",
		call:  func(ctx context.Context, p *gameserver.Process) (any, error) { return only(p.Heartbeat(ctx, true)) },
		sends: same(`"HealthStatus":true`),
	},
	{
		name:  "HeartbeatServerProcess",
		call:  func(ctx context.Context, p *gameserver.Process) (any, error) { return only(p.Heartbeat(ctx, false)) },
		sends: same(`"HealthStatus":false`),
	},
	{
		name: "ActivateGameSession",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.ActivateGameSession(ctx, "gs"))
		},
		sends: same(`"GameSessionId":"gs"`),
	},
	{
		name: "AcceptPlayerSession",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.AcceptPlayerSession(ctx, "gs", "psess-1"))
		},
		sends: same(`"GameSessionId":"gs","PlayerSessionId":"psess-1"`),
	},
	{
		name: "AcceptPlayerSession",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.AcceptPlayerSession(ctx, "gs", ""))
		},
		sends: map[gameserver.Dialect]string{
			gameserver.Go:     `"GameSessionId":"gs"`,
			gameserver.Cpp:    `"GameSessionId":"gs"`,
			gameserver.CSharp: `"GameSessionId":"gs","PlayerSessionId":null`,
		},
	},
	{
		name: "RemovePlayerSession",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.RemovePlayerSession(ctx, "gs", "psess-1"))
		},
		sends: same(`"GameSessionId":"gs","PlayerSessionId":"psess-1"`),
	},
	{
		name: "UpdatePlayerSessionCreationPolicy",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.UpdatePlayerSessionCreationPolicy(ctx, "gs", gameserver.DenyAll))
		},
		sends: same(`"GameSessionId":"gs","PlayerSessionPolicy":"DENY_ALL"`),
	},
	{
		name: "DescribePlayerSessions",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return p.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{GameSessionID: "gs", Status: gameserver.Active, Limit: 10})
		},
		sends: map[gameserver.Dialect]string{
			gameserver.Go:     `"GameSessionId":"gs","PlayerSessionStatusFilter":"ACTIVE","Limit":10`,
			gameserver.Cpp:    `"GameSessionId":"gs","PlayerSessionStatusFilter":"ACTIVE","Limit":10`,
			gameserver.CSharp: `"GameSessionId":"gs","PlayerId":null,"PlayerSessionId":null,"PlayerSessionStatusFilter":"ACTIVE","NextToken":null,"Limit":10`,
		},
		answer: message{"NextToken": nil, "PlayerSessions": []message{{
			"CreationTime": int64(1700000000123), "DnsName": nil, "FleetId": "fleet-1", "GameSessionId": "gs", "IpAddress": "127.0.0.1",
			"PlayerData": nil, "PlayerId": "p1", "PlayerSessionId": "psess-1", "Port": 7777, "Status": "ACTIVE", "TerminationTime": nil,
		}}},
		want: gameserver.PlayerSessionPage{PlayerSessions: []gameserver.PlayerSession{{
			PlayerID: "p1", PlayerSessionID: "psess-1", GameSessionID: "gs", FleetID: "fleet-1", IPAddress: "127.0.0.1", Port: 7777,
			Status: gameserver.Active, CreationTime: time.Date(2023, 11, 14, 22, 13, 20, 123e6, time.UTC),
		}}},
	},
	{
		name: "DescribePlayerSessions",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return p.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{PlayerID: "p1", NextToken: "page-2"})
		},
		sends: map[gameserver.Dialect]string{
			gameserver.Go:     `"PlayerId":"p1","NextToken":"page-2"`,
			gameserver.Cpp:    `"PlayerId":"p1","NextToken":"page-2"`,
			gameserver.CSharp: `"GameSessionId":null,"PlayerId":"p1","PlayerSessionId":null,"PlayerSessionStatusFilter":null,"NextToken":"page-2","Limit":50`,
		},
		answer: message{"NextToken": "page-3", "PlayerSessions": []message{{
			"DnsName": "host", "PlayerData": "d", "Status": "COMPLETED", "TerminationTime": int64(1700000001000),
		}}},
		want: gameserver.PlayerSessionPage{NextToken: "page-3", PlayerSessions: []gameserver.PlayerSession{{
			DNSName: "host", PlayerData: "d", Status: gameserver.Completed, TerminationTime: time.Date(2023, 11, 14, 22, 13, 21, 0, time.UTC),
		}}},
	},
	{
		name: "DescribePlayerSessions",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return p.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{PlayerSessionID: "psess-1"})
		},
		sends: map[gameserver.Dialect]string{
			gameserver.Go:     `"PlayerSessionId":"psess-1"`,
			gameserver.Cpp:    `"PlayerSessionId":"psess-1"`,
			gameserver.CSharp: `"GameSessionId":null,"PlayerId":null,"PlayerSessionId":"psess-1","PlayerSessionStatusFilter":null,"NextToken":null,"Limit":50`,
		},
		answer: message{"NextToken": nil, "PlayerSessions": nil},
		want:   gameserver.PlayerSessionPage{},
	},
	{
		name:  "TerminateServerProcess",
		call:  func(ctx context.Context, p *gameserver.Process) (any, error) { return only(p.ProcessEnding(ctx)) },
		sends: same(``),
	},
	{
		name: "StartMatchBackfill",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return p.StartMatchBackfill(ctx, gameserver.Backfill{
				GameSessionARN:              "gs",
				MatchmakingConfigurationARN: "mm",
				TicketID:                    "ticket-1",
				Players: []gameserver.BackfillPlayer{{
					PlayerID:   "p1",
					Team:       "red",
					Attributes: map[string]any{"a": "x", "b": 0.0, "c": []string{"y"}, "d": map[string]float64{"z": 1.5}},
					LatencyMS:  map[string]int{"us-east-1": 20},
				}},
			})
		},
		sends: same(`"GameSessionArn":"gs","MatchmakingConfigurationArn":"mm","TicketId":"ticket-1","Players":[{"PlayerId":"p1","Team":"red",` +
			`"PlayerAttributes":{"a":{"AttrType":"STRING","S":"x"},"b":{"AttrType":"DOUBLE","N":0},"c":{"AttrType":"STRING_LIST","SL":["y"]},` +
			`"d":{"AttrType":"STRING_DOUBLE_MAP","SDM":{"z":1.5}}},"LatencyInMs":{"us-east-1":20}}]`),
		answer: message{"TicketId": "ticket-1"},
		want:   "ticket-1",
	},
	{
		name: "StartMatchBackfill",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return p.StartMatchBackfill(ctx, gameserver.Backfill{
				GameSessionARN: "gs", MatchmakingConfigurationARN: "mm", Players: []gameserver.BackfillPlayer{{PlayerID: "p1"}, {PlayerID: "p2"}},
			})
		},
		sends: map[gameserver.Dialect]string{
			gameserver.Go: `"GameSessionArn":"gs","MatchmakingConfigurationArn":"mm","TicketId":"",` +
				`"Players":[{"PlayerId":"p1","Team":"","PlayerAttributes":null,"LatencyInMs":null},{"PlayerId":"p2","Team":"","PlayerAttributes":null,"LatencyInMs":null}]`,
			gameserver.Cpp: `"GameSessionArn":"gs","MatchmakingConfigurationArn":"mm","Players":[{"PlayerId":"p1"},{"PlayerId":"p2"}]`,
			gameserver.CSharp: `"GameSessionArn":"gs","MatchmakingConfigurationArn":"mm","TicketId":null,` +
				`"Players":[{"PlayerId":"p1","Team":null,"PlayerAttributes":null,"LatencyInMs":null},{"PlayerId":"p2","Team":null,"PlayerAttributes":null,"LatencyInMs":null}]`,
		},
		answer: message{"TicketId": "made"},
		want:   "made",
	},
	{
		name: "StopMatchBackfill",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return only(p.StopMatchBackfill(ctx, "gs", "mm", "ticket-1"))
		},
		sends: same(`"GameSessionArn":"gs","MatchmakingConfigurationArn":"mm","TicketId":"ticket-1"`),
	},
	{
		name:   "GetComputeCertificate",
		call:   func(ctx context.Context, p *gameserver.Process) (any, error) { return p.GetComputeCertificate(ctx) },
		sends:  same(``),
		answer: message{"CertificatePath": "/cert", "ComputeName": "host-1"},
		want:   gameserver.ComputeCertificate{CertificatePath: "/cert", ComputeName: "host-1"},
	},
	{
		name: "GetFleetRoleCredentials",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return p.GetFleetRoleCredentials(ctx, "arn:aws:iam::123456789012:role/x", "fleet-1-host-1")
		},
		sends:  same(`"RoleArn":"arn:aws:iam::123456789012:role/x","RoleSessionName":"fleet-1-host-1"`),
		answer: message{"AccessKeyId": ""},
		want:   gameserver.FleetRoleCredentials{},
	},
	{
		name: "GetFleetRoleCredentials",
		call: func(ctx context.Context, p *gameserver.Process) (any, error) {
			return p.GetFleetRoleCredentials(ctx, "role", "session")
		},
		sends: same(`"RoleArn":"role","RoleSessionName":"session"`),
		answer: message{
			"AccessKeyId": "id", "SecretAccessKey": "secret", "SessionToken": "token", "AssumedRoleUserArn": "arn", "AssumedRoleId": "role-id",
			"Expiration": int64(1700000001000),
		},
		want: gameserver.FleetRoleCredentials{
			AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "token", AssumedRoleUserARN: "arn", AssumedRoleID: "role-id",
			Expiration: time.Date(2023, 11, 14, 22, 13, 21, 0, time.UTC),
		},
	},
}

var requestIDs = map[gameserver.Dialect]*regexp.Regexp{
	gameserver.Go:     uuidExpression,
	gameserver.Cpp:    regexp.MustCompile(`^[0-9a-zA-Z]{32}$`),
	gameserver.CSharp: uuidExpression,
}

func TestActionIsSentMemberByMember(t *testing.T) {
	for dialect, requestID := range requestIDs {
		for _, action := range actions {
			t.Run(dialect.String()+" "+action.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newService(t)
					config := s.config()
					config.Dialect = dialect
					p, peer := s.connect(config)
					var got any
					done := async(func() (err error) { got, err = action.call(t.Context(), p); return err })

					sent := peer.raw()
					request := decode(t, sent)
					id, _ := request["RequestId"].(string)
					if !requestID.MatchString(id) {
						t.Errorf("the RequestId is %q", id)
					}
					want := `{"Action":"` + action.name + `","RequestId":"` + id + `",` + action.sends[dialect]
					if want = strings.TrimSuffix(want, ",") + "}"; sent != want {
						t.Errorf("sent %s\nwant %s", sent, want)
					}
					peer.answer(request, action.answer)
					succeed(t, done)
					if diff := diff(action.want, got); diff != "" {
						t.Error(diff)
					}
				})
			})
		}
	}
}

func TestToolIsNamedWhenConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		config.SDKToolName, config.SDKToolVersion = "Unreal", "2"
		p, peer := s.connect(config)
		done := async(func() error { return p.ProcessReady(t.Context(), 7777, nil) })
		request := peer.request("ActivateServerProcess")
		if request["SdkToolName"] != "Unreal" || request["SdkToolVersion"] != "2" {
			t.Errorf("sent %v", request)
		}
		peer.answer(request, nil)
		succeed(t, done)
	})
}

func TestAttributeOfAnotherTypeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newService(t).connectDefault()
		_, err := p.StartMatchBackfill(t.Context(), gameserver.Backfill{
			Players: []gameserver.BackfillPlayer{{PlayerID: "p1", Attributes: map[string]any{"level": 3}}},
		})
		fails(t, err, `the attribute "level" is of the type int; give a string`)
	})
}
