package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/aws/aws-sdk-go-v2/service/gamelift/types"

	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestGoSDKRunsTheControlPlane(t *testing.T) {
	all := []deployment{embeddedDeployment, redisDeployment, clusterDeployment}
	eachDeployment(t, all, func(t *testing.T, instances []*process) {
		// The clock of the cluster stands still.
		govern(t, sdk((&network{instances: instances}).connect(t)), instances[0], !strings.HasSuffix(t.Name(), "Cluster"))
	})
}

func TestGoSDKRunsTheControlPlaneThoughEveryFirstReplyIsLost(t *testing.T) {
	eachDeployment(t, []deployment{embeddedDeployment, redisDeployment}, func(t *testing.T, instances []*process) {
		lossy := &network{instances: instances, lose: func([]byte) bool { return true }}
		govern(t, sdk(lossy.connect(t)), instances[0], true)
		if lossy.losses() < 40 {
			t.Errorf("only %d replies were lost", lossy.losses())
		}
	})
}

// must returns the output of a call that has to succeed.
func must[Out any](t *testing.T) func(Out, error) Out {
	return func(out Out, err error) Out {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// deleted checks that a deletion succeeded. If its first reply was lost, its retry finds nothing to delete.
func deleted(t *testing.T, err error) {
	t.Helper()
	var gone *types.NotFoundException
	if err != nil && !errors.As(err, &gone) {
		t.Fatal(err)
	}
}

// pages is what all paginators of the SDK are.
type pages[Out any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*gamelift.Options)) (Out, error)
}

// collect reads all pages and lists a name for each thing on them.
func collect[Out any](t *testing.T, p pages[Out], names func(Out) []string) (all []string) {
	t.Helper()
	for p.HasMorePages() {
		all = append(all, names(must[Out](t)(p.NextPage(t.Context())))...)
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s are %q, want %q", what, got, want)
	}
}

func each[T any](list []T, name func(T) *string) (names []string) {
	for _, one := range list {
		names = append(names, aws.ToString(name(one)))
	}
	return names
}

// govern uses every operation of the control plane; server is an instance to which calls without the SDK go.
func govern(t *testing.T, client *gamelift.Client, server *process, timePasses bool) {
	ctx := t.Context()
	text := aws.String
	one := aws.Int32(1)
	const cellar, attic = "custom-cellar", "custom-attic"

	// Locations, fleets, computes.
	for _, name := range []string{cellar, attic} {
		must[*gamelift.CreateLocationOutput](t)(client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: text(name)}))
	}
	same(t, "the locations", collect(t, gamelift.NewListLocationsPaginator(client, &gamelift.ListLocationsInput{Limit: one}), func(out *gamelift.ListLocationsOutput) []string {
		return each(out.Locations, func(l types.LocationModel) *string { return l.LocationName })
	}), cellar, attic)

	fleet := must[*gamelift.CreateFleetOutput](t)(client.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: text("castle"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: text(cellar)}},
		Tags: []types.Tag{{Key: text("team"), Value: text("red")}},
	})).FleetAttributes
	spare := must[*gamelift.CreateFleetOutput](t)(client.CreateFleet(ctx, &gamelift.CreateFleetInput{
		Name: text("ruin"), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: text(attic)}},
	})).FleetAttributes
	same(t, "the fleets", collect(t, gamelift.NewListFleetsPaginator(client, &gamelift.ListFleetsInput{Limit: one}), func(out *gamelift.ListFleetsOutput) []string {
		return out.FleetIds
	}), *fleet.FleetId, *spare.FleetId)
	must[*gamelift.UpdateFleetAttributesOutput](t)(client.UpdateFleetAttributes(ctx, &gamelift.UpdateFleetAttributesInput{
		FleetId: fleet.FleetId, Description: text("old"), NewGameSessionProtectionPolicy: types.ProtectionPolicyFullProtection,
		ResourceCreationLimitPolicy: &types.ResourceCreationLimitPolicy{NewGameSessionsPerCreator: one, PolicyPeriodInMinutes: aws.Int32(15)},
	}))
	same(t, "the attributes", collect(t, gamelift.NewDescribeFleetAttributesPaginator(client, &gamelift.DescribeFleetAttributesInput{Limit: one}), func(out *gamelift.DescribeFleetAttributesOutput) []string {
		return each(out.FleetAttributes, func(f types.FleetAttributes) *string {
			return text(fmt.Sprint(*f.Name, " ", aws.ToString(f.Description), " ", f.NewGameSessionProtectionPolicy))
		})
	}), "castle old FullProtection", "ruin  NoProtection")

	must[*gamelift.CreateFleetLocationsOutput](t)(client.CreateFleetLocations(ctx, &gamelift.CreateFleetLocationsInput{
		FleetId: fleet.FleetId, Locations: []types.LocationConfiguration{{Location: text(attic)}},
	}))
	locations := func() []string {
		return collect(t, gamelift.NewDescribeFleetLocationAttributesPaginator(client, &gamelift.DescribeFleetLocationAttributesInput{FleetId: fleet.FleetId, Limit: one}), func(out *gamelift.DescribeFleetLocationAttributesOutput) []string {
			return each(out.LocationAttributes, func(l types.LocationAttributes) *string { return l.LocationState.Location })
		})
	}
	same(t, "the fleet's locations", locations(), cellar, attic)
	_, err := client.DeleteLocation(ctx, &gamelift.DeleteLocationInput{LocationName: text(attic)})
	isException[*types.InvalidRequestException](t, err, "is a location of 2 fleets")

	for _, name := range []string{"box", "chest"} {
		must[*gamelift.RegisterComputeOutput](t)(client.RegisterCompute(ctx, &gamelift.RegisterComputeInput{
			FleetId: fleet.FleetId, ComputeName: text(name), Location: text(cellar), IpAddress: text("192.0.2.7"),
		}))
	}
	computes := func() []string {
		return collect(t, gamelift.NewListComputePaginator(client, &gamelift.ListComputeInput{FleetId: fleet.FleetId, Location: text(cellar), Limit: one}), func(out *gamelift.ListComputeOutput) []string {
			return each(out.ComputeList, func(c types.Compute) *string { return c.ComputeName })
		})
	}
	same(t, "the computes", computes(), "box", "chest")
	box := must[*gamelift.DescribeComputeOutput](t)(client.DescribeCompute(ctx, &gamelift.DescribeComputeInput{FleetId: fleet.FleetId, ComputeName: text("box")})).Compute
	if endpoint := aws.ToString(box.GameLiftServiceSdkEndpoint); !strings.HasPrefix(endpoint, "ws://127.0.0.1:") || !strings.HasSuffix(endpoint, "/server-sdk") {
		t.Errorf("game servers connect to %q", endpoint)
	}
	token := must[*gamelift.GetComputeAuthTokenOutput](t)(client.GetComputeAuthToken(ctx, &gamelift.GetComputeAuthTokenInput{FleetId: fleet.FleetId, ComputeName: box.ComputeArn}))
	if aws.ToString(token.ComputeName) != "box" || len(aws.ToString(token.AuthToken)) < 32 || token.ExpirationTimestamp.Before(*box.CreationTime) {
		t.Errorf("the token is %+v", token)
	}
	_, err = client.DeregisterCompute(ctx, &gamelift.DeregisterComputeInput{FleetId: fleet.FleetId, ComputeName: text("chest")})
	deleted(t, err)
	_, err = client.DescribeCompute(ctx, &gamelift.DescribeComputeInput{FleetId: fleet.FleetId, ComputeName: text("chest")})
	isException[*types.NotFoundException](t, err, "has no compute chest")

	// Aliases.
	front := must[*gamelift.CreateAliasOutput](t)(client.CreateAlias(ctx, &gamelift.CreateAliasInput{
		Name: text("front"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: fleet.FleetId},
	})).Alias
	closed := must[*gamelift.CreateAliasOutput](t)(client.CreateAlias(ctx, &gamelift.CreateAliasInput{
		Name: text("back"), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: text("closed for the winter")},
	})).Alias
	same(t, "the aliases", collect(t, gamelift.NewListAliasesPaginator(client, &gamelift.ListAliasesInput{Limit: one}), func(out *gamelift.ListAliasesOutput) []string {
		return each(out.Aliases, func(a types.Alias) *string { return a.Name })
	}), "front", "back")
	if out := must[*gamelift.ResolveAliasOutput](t)(client.ResolveAlias(ctx, &gamelift.ResolveAliasInput{AliasId: front.AliasArn})); *out.FleetId != *fleet.FleetId || *out.FleetArn != *fleet.FleetArn {
		t.Errorf("the alias leads to %+v", out)
	}
	_, err = client.ResolveAlias(ctx, &gamelift.ResolveAliasInput{AliasId: closed.AliasId})
	isException[*types.TerminalRoutingStrategyException](t, err, "closed for the winter")
	_, err = client.CreateGameSession(ctx, &gamelift.CreateGameSessionInput{AliasId: closed.AliasId, MaximumPlayerSessionCount: one})
	isException[*types.TerminalRoutingStrategyException](t, err, "closed for the winter")
	_, err = client.SearchGameSessions(ctx, &gamelift.SearchGameSessionsInput{AliasId: closed.AliasId})
	isException[*types.TerminalRoutingStrategyException](t, err, "closed for the winter")
	_, err = client.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{
		GameSessionId: text("arn:aws:gamelift:us-east-1::gamesession/" + *closed.AliasId + "/match"), PlayerId: text("alice"),
	})
	isException[*types.TerminalRoutingStrategyException](t, err, "closed for the winter")

	// Tags.
	arn := fleet.FleetArn
	must[*gamelift.TagResourceOutput](t)(client.TagResource(ctx, &gamelift.TagResourceInput{ResourceARN: arn, Tags: []types.Tag{{Key: text("stage"), Value: text("")}}}))
	must[*gamelift.UntagResourceOutput](t)(client.UntagResource(ctx, &gamelift.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"team"}}))
	tags := must[*gamelift.ListTagsForResourceOutput](t)(client.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: arn})).Tags
	if len(tags) != 1 || *tags[0].Key != "stage" || *tags[0].Value != "" {
		t.Errorf("the tags are %+v", tags)
	}
	_, err = client.ListTagsForResource(ctx, &gamelift.ListTagsForResourceInput{ResourceARN: text("arn:aws:gamelift:us-east-1::fleet/fleet-1")})
	isException[*types.NotFoundException](t, err, "there is no resource")

	// Game sessions, found by what they are like.
	var games []string
	for i := range 3 {
		game := must[*gamelift.CreateGameSessionOutput](t)(client.CreateGameSession(ctx, &gamelift.CreateGameSessionInput{
			AliasId: front.AliasId, MaximumPlayerSessionCount: aws.Int32(int32(i + 2)), Name: text(fmt.Sprint("duel ", i)), CreatorId: text(fmt.Sprint("host ", i)),
			GameProperties: []types.GameProperty{{Key: text("mode"), Value: text([]string{"duel", "race", "duel"}[i])}},
		})).GameSession
		games = append(games, *game.GameSessionId)
	}
	_, err = client.CreateGameSession(ctx, &gamelift.CreateGameSessionInput{FleetId: fleet.FleetId, MaximumPlayerSessionCount: one, CreatorId: text("host 0")})
	isException[*types.LimitExceededException](t, err, "host 0")
	search := &gamelift.SearchGameSessionsInput{
		AliasId: front.AliasId, FilterExpression: text("gameSessionProperties.mode='duel' AND hasAvailablePlayerSessions=true"),
		SortExpression: text("maximumSessions DESC"), Limit: one,
	}
	var found []string
	allocatortest.Eventually(t, 20*time.Second, func() bool { // a search may look at the fleet as it was a second ago
		found = nil
		for p := gamelift.NewSearchGameSessionsPaginator(client, search); p.HasMorePages(); {
			for _, game := range must[*gamelift.SearchGameSessionsOutput](t)(p.NextPage(ctx)).GameSessions {
				found = append(found, *game.GameSessionId)
			}
		}
		return len(found) == 2
	}, "the search finds both duels")
	if !slices.Equal(found, []string{games[2], games[0]}) {
		t.Errorf("the search found %q in %q", found, games)
	}
	_, err = client.SearchGameSessions(ctx, &gamelift.SearchGameSessionsInput{FleetId: fleet.FleetId, FilterExpression: text("maximumSessions ~ 7")})
	isException[*types.InvalidRequestException](t, err, "FilterExpression")
	same(t, "the game sessions", collect(t, gamelift.NewDescribeGameSessionsPaginator(client, &gamelift.DescribeGameSessionsInput{AliasId: front.AliasId, Limit: one}), func(out *gamelift.DescribeGameSessionsOutput) []string {
		return each(out.GameSessions, func(g types.GameSession) *string { return g.GameSessionId })
	}), games...)
	same(t, "the details", collect(t, gamelift.NewDescribeGameSessionDetailsPaginator(client, &gamelift.DescribeGameSessionDetailsInput{FleetId: fleet.FleetId, Limit: one}), func(out *gamelift.DescribeGameSessionDetailsOutput) []string {
		return each(out.GameSessionDetails, func(g types.GameSessionDetail) *string {
			return text(fmt.Sprint(*g.GameSession.Name, " ", g.ProtectionPolicy))
		})
	}), "duel 0 FullProtection", "duel 1 FullProtection", "duel 2 FullProtection")
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		slots := collect(t, gamelift.NewDescribeFleetUtilizationPaginator(client, &gamelift.DescribeFleetUtilizationInput{Limit: one}), func(out *gamelift.DescribeFleetUtilizationOutput) []string {
			return each(out.FleetUtilization, func(u types.FleetUtilization) *string {
				return text(fmt.Sprint(*u.ActiveGameSessionCount, " with ", *u.MaximumPlayerSessionCount))
			})
		})
		return slices.Equal(slots, []string{"0 with 0", "3 with 9"})
	}, "both fleets say how much of them is in use")

	// A party is placed without saying where.
	var placed struct {
		PlayerSessions []struct{ GameSessionId, PlayerId string }
	}
	answer := server.mustCall(t, "PlacePlayerSessions", fmt.Sprintf(
		`{"AliasId": %q, "FilterExpression": "gameSessionProperties.mode='race'", "PlayerIds": ["alice", "bob"]}`, *front.AliasId))
	if err := json.Unmarshal([]byte(answer), &placed); err != nil || len(placed.PlayerSessions) != 2 ||
		placed.PlayerSessions[0].GameSessionId != games[1] || placed.PlayerSessions[1].PlayerId != "bob" {
		t.Errorf("of %q, the party is at %s (error: %v)", games, answer, err)
	}
	status, answer, err := server.call("PlacePlayerSessions", fmt.Sprintf(
		`{"FleetId": %q, "FilterExpression": "gameSessionProperties.mode='race'", "PlayerIds": ["carol", "dave"]}`, *fleet.FleetId))
	if err != nil || status != http.StatusBadRequest || !strings.Contains(answer, `"GameSessionFullException"`) {
		t.Errorf("a party too many: %d %s (error: %v)", status, answer, err)
	}

	// A game session is ended, and its player sessions with it.
	ended := must[*gamelift.TerminateGameSessionOutput](t)(client.TerminateGameSession(ctx, &gamelift.TerminateGameSessionInput{
		GameSessionId: text(games[1]), TerminationMode: types.TerminationModeForceTerminate,
	})).GameSession
	if ended.Status != types.GameSessionStatusTerminated || ended.StatusReason != types.GameSessionStatusReasonForceTerminated || ended.TerminationTime == nil {
		t.Errorf("the ended game session is %+v", ended)
	}
	same(t, "the player sessions", collect(t, gamelift.NewDescribePlayerSessionsPaginator(client, &gamelift.DescribePlayerSessionsInput{GameSessionId: text(games[1]), Limit: one}), func(out *gamelift.DescribePlayerSessionsOutput) []string {
		return each(out.PlayerSessions, func(p types.PlayerSession) *string { return text(fmt.Sprint(*p.PlayerId, " ", p.Status)) })
	}), "alice COMPLETED", "bob COMPLETED")
	_, err = client.CreatePlayerSession(ctx, &gamelift.CreatePlayerSessionInput{GameSessionId: text(games[1]), PlayerId: text("carol")})
	isException[*types.InvalidGameSessionStatusException](t, err, "TERMINATED")

	// Queues and what they place.
	queue := func(name string, seconds int32, destination *string) {
		t.Helper()
		must[*gamelift.CreateGameSessionQueueOutput](t)(client.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{
			Name: text(name), TimeoutInSeconds: aws.Int32(seconds), Destinations: []types.GameSessionQueueDestination{{DestinationArn: destination}},
		}))
	}
	queue("open", 60, front.AliasArn)
	queue("shut", 600, spare.FleetArn) // it has no compute
	queue("brief", 1, spare.FleetArn)
	_, err = client.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{
		Name: text("open"), Destinations: []types.GameSessionQueueDestination{{DestinationArn: text("arn:aws:gamelift:us-east-1::fleet/fleet-1")}},
	})
	isException[*types.NotFoundException](t, err, "Destinations[0]")
	must[*gamelift.UpdateGameSessionQueueOutput](t)(client.UpdateGameSessionQueue(ctx, &gamelift.UpdateGameSessionQueueInput{
		Name: text("open"), CustomEventData: text("finale"), PriorityConfiguration: &types.PriorityConfiguration{LocationOrder: []string{cellar}},
	}))
	same(t, "the queues", collect(t, gamelift.NewDescribeGameSessionQueuesPaginator(client, &gamelift.DescribeGameSessionQueuesInput{Limit: one}), func(out *gamelift.DescribeGameSessionQueuesOutput) []string {
		return each(out.GameSessionQueues, func(q types.GameSessionQueue) *string {
			return text(fmt.Sprint(*q.Name, " ", *q.TimeoutInSeconds, aws.ToString(q.CustomEventData)))
		})
	}), "open 60finale", "shut 600", "brief 1")
	place := func(queue string) {
		t.Helper()
		must[*gamelift.StartGameSessionPlacementOutput](t)(client.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{
			PlacementId: text(queue + "-1"), GameSessionQueueName: text(queue), MaximumPlayerSessionCount: aws.Int32(4), GameSessionName: text("placed"),
			DesiredPlayerSessions: []types.DesiredPlayerSession{{PlayerId: text("erin"), PlayerData: text("level 7")}},
			PlayerLatencies:       []types.PlayerLatency{{PlayerId: text("erin"), RegionIdentifier: text(cellar), LatencyInMilliseconds: aws.Float32(20.5)}},
		}))
	}
	becomes := func(queue string, status types.GameSessionPlacementState) *types.GameSessionPlacement {
		t.Helper()
		var now *types.GameSessionPlacement
		allocatortest.Eventually(t, 20*time.Second, func() bool {
			now = must[*gamelift.DescribeGameSessionPlacementOutput](t)(client.DescribeGameSessionPlacement(ctx, &gamelift.DescribeGameSessionPlacementInput{
				PlacementId: text(queue + "-1"),
			})).GameSessionPlacement
			return now.Status == status
		}, "the placement is "+string(status))
		return now
	}
	for _, name := range []string{"open", "shut", "brief"} {
		place(name)
	}
	p := becomes("open", types.GameSessionPlacementStateFulfilled)
	if aws.ToString(p.IpAddress) != "192.0.2.7" || aws.ToInt32(p.Port) == 0 || p.EndTime == nil || len(p.PlacedPlayerSessions) != 1 || *p.PlacedPlayerSessions[0].PlayerId != "erin" {
		t.Fatalf("the placement is %+v", p)
	}
	erin := must[*gamelift.DescribePlayerSessionsOutput](t)(client.DescribePlayerSessions(ctx, &gamelift.DescribePlayerSessionsInput{PlayerSessionId: p.PlacedPlayerSessions[0].PlayerSessionId})).PlayerSessions[0]
	if *erin.GameSessionId != *p.GameSessionArn || *erin.GameSessionId != *p.GameSessionId || aws.ToString(erin.PlayerData) != "level 7" {
		t.Errorf("the placed player session is %+v", erin)
	}
	_, err = client.StopGameSessionPlacement(ctx, &gamelift.StopGameSessionPlacementInput{PlacementId: text("open-1")})
	isException[*types.InvalidRequestException](t, err, "is FULFILLED")
	becomes("shut", types.GameSessionPlacementStatePending)
	must[*gamelift.StopGameSessionPlacementOutput](t)(client.StopGameSessionPlacement(ctx, &gamelift.StopGameSessionPlacementInput{PlacementId: text("shut-1")}))
	becomes("shut", types.GameSessionPlacementStateCancelled)
	if timePasses {
		becomes("brief", types.GameSessionPlacementStateTimedOut)
	}
	_, err = client.StartGameSessionPlacement(ctx, &gamelift.StartGameSessionPlacementInput{PlacementId: text("lost-1"), GameSessionQueueName: text("lost"), MaximumPlayerSessionCount: one})
	isException[*types.NotFoundException](t, err, "there is no game session queue lost")

	// All is taken down.
	_, err = client.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: fleet.FleetId})
	isException[*types.InvalidFleetStatusException](t, err, "3 game sessions that have not ended")
	for _, game := range []string{games[0], games[2], *p.GameSessionArn} {
		must[*gamelift.TerminateGameSessionOutput](t)(client.TerminateGameSession(ctx, &gamelift.TerminateGameSessionInput{
			GameSessionId: text(game), TerminationMode: types.TerminationModeTriggerOnProcessTerminate,
		}))
	}
	for _, name := range []string{"open", "shut", "brief"} {
		_, err = client.DeleteGameSessionQueue(ctx, &gamelift.DeleteGameSessionQueueInput{Name: text(name)})
		deleted(t, err)
	}
	must[*gamelift.UpdateAliasOutput](t)(client.UpdateAlias(ctx, &gamelift.UpdateAliasInput{
		AliasId: front.AliasId, RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeTerminal, Message: text("moved away")},
	}))
	if out := must[*gamelift.DescribeAliasOutput](t)(client.DescribeAlias(ctx, &gamelift.DescribeAliasInput{AliasId: front.AliasId})); aws.ToString(out.Alias.RoutingStrategy.Message) != "moved away" {
		t.Errorf("the alias is %+v", out.Alias)
	}
	_, err = client.DeleteAlias(ctx, &gamelift.DeleteAliasInput{AliasId: front.AliasId})
	deleted(t, err)
	_, err = client.DescribeAlias(ctx, &gamelift.DescribeAliasInput{AliasId: front.AliasId})
	isException[*types.NotFoundException](t, err, "there is no alias")
	_, err = client.DeleteFleetLocations(ctx, &gamelift.DeleteFleetLocationsInput{FleetId: fleet.FleetId, Locations: []string{attic}})
	deleted(t, err)
	same(t, "the fleet's locations", locations(), cellar)
	for _, id := range []*string{fleet.FleetId, spare.FleetId} {
		_, err = client.DeleteFleet(ctx, &gamelift.DeleteFleetInput{FleetId: id})
		deleted(t, err)
	}
	_, err = client.DescribeFleetAttributes(ctx, &gamelift.DescribeFleetAttributesInput{FleetIds: []string{*fleet.FleetId}})
	isException[*types.NotFoundException](t, err, "there is no fleet")
	_, err = client.DeleteLocation(ctx, &gamelift.DeleteLocationInput{LocationName: text(attic)})
	deleted(t, err)
}

func TestQuotaThatIsReachedNamesItsFlag(t *testing.T) {
	client := sdk(serve(t, "--max-locations=1", "--max-fleets=1", "--max-computes-per-fleet=1", "--max-aliases=1", "--max-queues=1").url())
	ctx := t.Context()
	location := aws.String("custom-cellar")
	var fleet *string
	for _, c := range []struct {
		flag   string
		create func(name string) error
	}{
		{"--max-locations", func(name string) error {
			_, err := client.CreateLocation(ctx, &gamelift.CreateLocationInput{LocationName: aws.String("custom-" + name)})
			return err
		}},
		{"--max-fleets", func(name string) error {
			out, err := client.CreateFleet(ctx, &gamelift.CreateFleetInput{
				Name: aws.String(name), ComputeType: types.ComputeTypeAnywhere, Locations: []types.LocationConfiguration{{Location: location}},
			})
			if err == nil {
				fleet = out.FleetAttributes.FleetId
			}
			return err
		}},
		{"--max-computes-per-fleet", func(name string) error {
			_, err := client.RegisterCompute(ctx, &gamelift.RegisterComputeInput{FleetId: fleet, ComputeName: aws.String(name), Location: location, IpAddress: aws.String("192.0.2.7")})
			return err
		}},
		{"--max-aliases", func(name string) error {
			_, err := client.CreateAlias(ctx, &gamelift.CreateAliasInput{
				Name: aws.String(name), RoutingStrategy: &types.RoutingStrategy{Type: types.RoutingStrategyTypeSimple, FleetId: fleet},
			})
			return err
		}},
		{"--max-queues", func(name string) error {
			_, err := client.CreateGameSessionQueue(ctx, &gamelift.CreateGameSessionQueueInput{Name: aws.String(name)})
			return err
		}},
	} {
		if err := c.create("cellar"); err != nil {
			t.Fatal(err)
		}
		isException[*types.LimitExceededException](t, c.create("attic"), c.flag)
	}
}
