package api

import (
	"context"

	"github.com/berthgg/berth/allocator"
)

// operation is a row of the operation table: what a client calls by name over any binding.
type operation struct {
	name string
	// newInput returns a pointer to an empty input shape.
	newInput func() any
	// run takes such a pointer, filled and valid, and returns the output shape.
	run func(ctx context.Context, a *allocator.Allocator, input any, by caller) (any, error)
}

// caller is what an operation is told of the request that calls it, beside the input.
type caller struct {
	// retryToken names the call in each of its retries. Empty: nothing does.
	retryToken string
	// reached is where the caller reaches the service.
	reached PublicURL
}

// row makes a row of the table from a function on the operation's own shapes.
func row[In, Out any](name string, run func(context.Context, *allocator.Allocator, *In, caller) (Out, error)) operation {
	return operation{
		name:     name,
		newInput: func() any { return new(In) },
		run: func(ctx context.Context, a *allocator.Allocator, input any, by caller) (any, error) {
			return run(ctx, a, input.(*In), by)
		},
	}
}

// table holds every operation that Berth serves.
var table = []operation{
	row("CreateLocation", createLocation),
	row("ListLocations", listLocations),
	row("DeleteLocation", deleteLocation),
	row("CreateFleet", createFleet),
	row("ListFleets", listFleets),
	row("DescribeFleetAttributes", describeFleetAttributes),
	row("DescribeFleetUtilization", describeFleetUtilization),
	row("UpdateFleetAttributes", updateFleetAttributes),
	row("DeleteFleet", deleteFleet),
	row("CreateFleetLocations", createFleetLocations),
	row("DescribeFleetLocationAttributes", describeFleetLocationAttributes),
	row("DeleteFleetLocations", deleteFleetLocations),
	row("RegisterCompute", registerCompute),
	row("DescribeCompute", describeCompute),
	row("ListCompute", listCompute),
	row("DeregisterCompute", deregisterCompute),
	row("GetComputeAuthToken", getComputeAuthToken),
	row("CreateAlias", createAlias),
	row("DescribeAlias", describeAlias),
	row("ResolveAlias", resolveAlias),
	row("ListAliases", listAliases),
	row("UpdateAlias", updateAlias),
	row("DeleteAlias", deleteAlias),
	row("TagResource", tagResource),
	row("UntagResource", untagResource),
	row("ListTagsForResource", listTagsForResource),
	row("CreateGameSession", createGameSession),
	row("DescribeGameSessions", describeGameSessions),
	row("DescribeGameSessionDetails", describeGameSessionDetails),
	row("SearchGameSessions", searchGameSessions),
	row("UpdateGameSession", updateGameSession),
	row("TerminateGameSession", terminateGameSession),
	row("CreateGameSessionQueue", createGameSessionQueue),
	row("DescribeGameSessionQueues", describeGameSessionQueues),
	row("UpdateGameSessionQueue", updateGameSessionQueue),
	row("DeleteGameSessionQueue", deleteGameSessionQueue),
	row("StartGameSessionPlacement", startGameSessionPlacement),
	row("DescribeGameSessionPlacement", describeGameSessionPlacement),
	row("StopGameSessionPlacement", stopGameSessionPlacement),
	row("CreatePlayerSession", createPlayerSession),
	row("CreatePlayerSessions", createPlayerSessions),
	row("DescribePlayerSessions", describePlayerSessions),
	// Not in the AWS API: it searches and reserves in one call.
	row("PlacePlayerSessions", placePlayerSessions),
	// Not in the AWS API: there, game servers do this through the Server SDK.
	row("AcceptPlayerSession", acceptPlayerSession),
	row("RemovePlayerSession", removePlayerSession),
}

var operations = func() map[string]operation {
	byName := make(map[string]operation, len(table))
	for _, op := range table {
		byName[op.name] = op
	}
	return byName
}()

// Operations lists the names of the operations that Berth serves, in the order of the table.
func Operations() []string {
	names := make([]string, len(table))
	for i, op := range table {
		names[i] = op.name
	}
	return names
}
