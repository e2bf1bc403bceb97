package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// sdk returns an unmodified client of the AWS SDK for Go, which speaks CBOR. It does not wait before it retries.
func sdk(endpoint string) *gamelift.Client {
	return gamelift.New(gamelift.Options{
		BaseEndpoint: aws.String(endpoint),
		Region:       "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
	})
}

// isException checks that an error is the SDK's own type for an exception, with a message and the request id.
func isException[E error](t *testing.T, err error, message string) {
	t.Helper()
	var exception E
	if !errors.As(err, &exception) {
		t.Fatalf("%v is no %T", err, exception)
	}
	if !strings.Contains(exception.Error(), message) {
		t.Errorf("%v does not say %q", exception, message)
	}
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.ServiceRequestID() == "" {
		t.Errorf("%v has no request id", err)
	}
}

func TestGoSDKLivesTheWholeLifeOfAGame(t *testing.T) {
	all := []deployment{embeddedDeployment, redisDeployment, clusterDeployment, sentinelDeployment}
	eachDeployment(t, all, func(t *testing.T, instances []*process) {
		live(t, sdk((&network{instances: instances}).connect(t)), instances[0])
	})
}

func TestGoSDKLivesTheWholeLifeOfAGameThoughEveryFirstReplyIsLost(t *testing.T) {
	eachDeployment(t, []deployment{embeddedDeployment, redisDeployment}, func(t *testing.T, instances []*process) {
		lossy := &network{instances: instances, lose: func([]byte) bool { return true }}
		live(t, sdk(lossy.connect(t)), instances[0])
		if lossy.losses() < 20 {
			t.Errorf("only %d replies were lost", lossy.losses())
		}
	})
}

// live lives the life of a game with a client; server is where its game server is connected.
func live(t *testing.T, client *gamelift.Client, server *process) {
	ctx := t.Context()
	const cellar = "custom-cellar"

	// An operator makes a place for games.
	location, err := client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: aws.String(cellar)})
	if err != nil {
		t.Fatal(err)
	}
	if arn := aws.ToString(location.Location.LocationArn); arn != "arn:aws:gamelift:us-east-1::location/custom-cellar" {
		t.Errorf("the location is %s", arn)
	}
	_, err = client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: aws.String(cellar)})
	isException[*types.ConflictException](t, err, "is there already")

	fleet, err := client.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: aws.String("fleet"), ComputeType: types.ComputeTypeAnywhere,
		Locations: []types.LocationConfiguration{{Location: aws.String(cellar)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if fleet.FleetAttributes.Status != types.FleetStatusActive || fleet.FleetAttributes.CreationTime == nil {
		t.Errorf("the fleet is %+v", fleet.FleetAttributes)
	}
	fleetID := fleet.FleetAttributes.FleetId

	newGame := &gamelift.CreateGameSessionInput{
		FleetId: fleetID, MaximumPlayerSessionCount: aws.Int32(3), Name: aws.String("duel"), IdempotencyToken: aws.String("match-7"),
		GameProperties: []types.GameProperty{{Key: aws.String("map"), Value: aws.String("cliffs")}},
	}
	_, err = client.CreateGameSession(ctx, newGame)
	isException[*types.FleetCapacityExceededException](t, err, "RegisterCompute")

	register := &gamelift.RegisterComputeInput{FleetId: fleetID, ComputeName: aws.String("box"), Location: aws.String(cellar), IpAddress: aws.String("192.0.2.7")}
	if _, err := client.RegisterCompute(ctx, register); err != nil {
		t.Fatal(err)
	}
	register.IpAddress = aws.String("192.0.2.8")
	_, err = client.RegisterCompute(ctx, register)
	isException[*types.ConflictException](t, err, "another address")

	// A matchmaker makes a game.
	game, err := client.CreateGameSession(ctx, newGame)
	if err != nil {
		t.Fatal(err)
	}
	if g := game.GameSession; g.Status != types.GameSessionStatusActive || aws.ToString(g.IpAddress) != "192.0.2.7" || aws.ToInt32(g.Port) == 0 ||
		len(g.GameProperties) != 1 || aws.ToString(g.GameProperties[0].Value) != "cliffs" {
		t.Errorf("the game session is %+v", g)
	}
	gameID := game.GameSession.GameSessionId
	again, err := client.CreateGameSession(ctx, newGame)
	if err != nil || aws.ToString(again.GameSession.GameSessionId) != aws.ToString(gameID) {
		t.Errorf("the same token made the game session %+v (error: %v)", again, err)
	}
	newGame.MaximumPlayerSessionCount = aws.Int32(4)
	_, err = client.CreateGameSession(ctx, newGame)
	isException[*types.IdempotentParameterMismatchException](t, err, "other parameters")

	taken := func() int {
		t.Helper()
		out, err := client.DescribeGameSessions(ctx, &gamelift.DescribeGameSessionsInput{FleetId: fleetID})
		if err != nil || len(out.GameSessions) != 1 {
			t.Fatalf("the game sessions of the fleet are %+v (error: %v)", out, err)
		}
		return int(aws.ToInt32(out.GameSessions[0].CurrentPlayerSessionCount))
	}
	reserve := func(player string) (*gamelift.CreatePlayerSessionOutput, error) {
		return client.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: gameID, PlayerId: aws.String(player)})
	}

	// Three players fill it.
	alice, err := reserve("alice")
	if err != nil {
		t.Fatal(err)
	}
	if p := alice.PlayerSession; p.Status != types.PlayerSessionStatusReserved || p.CreationTime == nil || p.TerminationTime != nil ||
		aws.ToString(p.IpAddress) != "192.0.2.7" || aws.ToInt32(p.Port) != aws.ToInt32(game.GameSession.Port) {
		t.Errorf("the player session is %+v", p)
	}
	group, err := client.CreatePlayerSessions(ctx, &gamelift.CreatePlayerSessionsInput{
		GameSessionId: gameID, PlayerIds: []string{"bob", "carol"}, PlayerDataMap: map[string]string{"carol": "level 7"},
	})
	if err != nil || len(group.PlayerSessions) != 2 || aws.ToString(group.PlayerSessions[1].PlayerData) != "level 7" {
		t.Fatalf("the group is %+v (error: %v)", group, err)
	}
	if n := taken(); n != 3 {
		t.Errorf("%d slots are taken, want 3", n)
	}
	_, err = reserve("dave")
	isException[*types.GameSessionFullException](t, err, "3 of its 3 slots are taken")
	_, err = client.CreatePlayerSessions(ctx, &gamelift.CreatePlayerSessionsInput{GameSessionId: gameID, PlayerIds: []string{"dave", "erin"}})
	isException[*types.GameSessionFullException](t, err, "3 of its 3 slots are taken")

	// One comes and goes.
	status := func(id *string) types.PlayerSession {
		t.Helper()
		out, err := client.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{PlayerSessionId: id})
		if err != nil || len(out.PlayerSessions) != 1 {
			t.Fatalf("the player session is %+v (error: %v)", out, err)
		}
		return out.PlayerSessions[0]
	}
	aliceID := alice.PlayerSession.PlayerSessionId
	server.accept(t, *gameID, *aliceID)
	if p := status(aliceID); p.Status != types.PlayerSessionStatusActive || p.TerminationTime != nil {
		t.Errorf("accepted, the player session is %+v", p)
	}
	server.remove(t, *gameID, *aliceID)
	if p := status(aliceID); p.Status != types.PlayerSessionStatusCompleted || p.TerminationTime == nil || p.TerminationTime.Before(*p.CreationTime) ||
		!p.CreationTime.Equal(*alice.PlayerSession.CreationTime) {
		t.Errorf("removed, the player session is %+v", p)
	}
	if n := taken(); n != 2 {
		t.Errorf("%d slots are taken, want 2", n)
	}

	// The door is shut and opened.
	update := func(policy types.PlayerSessionCreationPolicy) {
		t.Helper()
		out, err := client.UpdateGameSession(ctx, &gamelift.UpdateGameSessionInput{GameSessionId: gameID, PlayerSessionCreationPolicy: policy})
		if err != nil || out.GameSession.PlayerSessionCreationPolicy != policy {
			t.Fatalf("the game session is %+v (error: %v)", out, err)
		}
	}
	update(types.PlayerSessionCreationPolicyDenyAll)
	_, err = reserve("dave")
	isException[*types.InvalidGameSessionStatusException](t, err, "DENY_ALL")
	update(types.PlayerSessionCreationPolicyAcceptAll)
	if _, err := reserve("dave"); err != nil {
		t.Fatal(err)
	}

	// All are listed, page by page.
	var players []string
	pages := gamelift.NewDescribePlayerSessionsPaginator(client, &gamelift.DescribePlayerSessionsInput{GameSessionId: gameID, Limit: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.PlayerSessions {
			players = append(players, fmt.Sprint(aws.ToString(p.PlayerId), " ", p.Status))
		}
	}
	slices.Sort(players) // those of one millisecond have no order
	if want := []string{"alice COMPLETED", "bob RESERVED", "carol RESERVED", "dave RESERVED"}; !slices.Equal(players, want) {
		t.Errorf("the player sessions are %v, want %v", players, want)
	}
	reserved, err := client.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{GameSessionId: gameID, PlayerSessionStatusFilter: aws.String("RESERVED")})
	if err != nil || len(reserved.PlayerSessions) != 3 || reserved.NextToken != nil {
		t.Errorf("the RESERVED player sessions are %+v (error: %v)", reserved, err)
	}

	// What is not there, and what makes no sense.
	_, err = client.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{
		GameSessionId: aws.String("arn:aws:gamelift:us-east-1::gamesession/" + *fleetID + "/other"), PlayerId: aws.String("alice"),
	})
	isException[*types.NotFoundException](t, err, "there is no game session")
	_, err = reserve(strings.Repeat("a", 1025))
	isException[*types.InvalidRequestException](t, err, "PlayerId has 1025 characters; the maximum is 1024")
}

func TestLostReplyReservesOneSlotThroughTheGoSDK(t *testing.T) {
	eachDeployment(t, []deployment{embeddedDeployment, redisDeployment}, func(t *testing.T, instances []*process) {
		n := &network{instances: instances, lose: has("unlucky")}
		client := sdk(n.connect(t))
		game := newGame(t, client, 5)
		out, err := client.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: aws.String(game), PlayerId: aws.String("unlucky")})
		if err != nil {
			t.Fatal(err)
		}
		if n.losses() != 1 {
			t.Fatalf("%d replies were lost, want 1", n.losses())
		}
		held, err := client.DescribePlayerSessions(t.Context(), &gamelift.DescribePlayerSessionsInput{GameSessionId: aws.String(game)})
		if err != nil || len(held.PlayerSessions) != 1 || *held.PlayerSessions[0].PlayerSessionId != *out.PlayerSession.PlayerSessionId {
			t.Errorf("the slots are held by %+v (error: %v), want %s alone", held, err, *out.PlayerSession.PlayerSessionId)
		}
	})
}

// newGame creates a game session with so many slots in a fleet of its own.
func newGame(t *testing.T, client *gamelift.Client, slots int32) (id string) {
	t.Helper()
	return newGames(t, client, 1, slots)[0]
}

// newGames creates so many game sessions in a fleet of their own.
func newGames(t *testing.T, client *gamelift.Client, count int, slots int32) (ids []string) {
	t.Helper()
	location := aws.String("custom-attic")
	if _, err := client.CreateLocation(t.Context(), &gamelift.CreateLocationInput{LocationName: location}); err != nil {
		t.Fatal(err)
	}
	fleet, err := client.CreateFleet(t.Context(), &gamelift.CreateFleetInput{
		Name: aws.String("fleet"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: location}},
	})
	if err != nil {
		t.Fatal(err)
	}
	fleetID := fleet.FleetAttributes.FleetId
	if _, err = client.RegisterCompute(t.Context(), &gamelift.RegisterComputeInput{
		FleetId: fleetID, ComputeName: aws.String("box"), Location: location, IpAddress: aws.String("192.0.2.7"),
	}); err != nil {
		t.Fatal(err)
	}
	for range count {
		game, err := client.CreateGameSession(t.Context(), &gamelift.CreateGameSessionInput{FleetId: fleetID, MaximumPlayerSessionCount: aws.Int32(slots)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, *game.GameSession.GameSessionId)
	}
	return ids
}

func TestReservationTimesOutAfterTheReservationTimeout(t *testing.T) {
	for _, d := range []deployment{embeddedDeployment, redisDeployment, sentinelDeployment} {
		t.Run(d.name, func(t *testing.T) {
			client := sdk((&network{instances: d.start(t, "--reservation-timeout=200ms")}).connect(t))
			game := newGame(t, client, 1)
			reserve := func() (*gamelift.CreatePlayerSessionOutput, error) {
				return client.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: aws.String(game), PlayerId: aws.String("alice")})
			}
			first, err := reserve()
			if err != nil {
				t.Fatal(err)
			}
			var timedOut types.PlayerSession
			allocatortest.Eventually(t, 20*time.Second, func() bool {
				out, err := client.DescribePlayerSessions(t.Context(), &gamelift.DescribePlayerSessionsInput{PlayerSessionId: first.PlayerSession.PlayerSessionId})
				if err != nil {
					t.Fatal(err)
				}
				timedOut = out.PlayerSessions[0]
				return timedOut.Status == types.PlayerSessionStatusTimedout
			}, "the reservation is TIMEDOUT")
			// The SDK reads timestamps as floating point numbers, so they are off by less than a microsecond.
			if lasted := timedOut.TerminationTime.Sub(*timedOut.CreationTime).Round(time.Millisecond); lasted != 200*time.Millisecond {
				t.Errorf("it lasted %v, want 200ms", lasted)
			}
			if _, err := reserve(); err != nil {
				t.Errorf("the slot is not free again: %v", err)
			}
		})
	}
}
