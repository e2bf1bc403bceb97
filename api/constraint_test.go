package api_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berthgg/berth/api"
)

// inputs are the input shapes of all operations, in the words of the published service model, or Berth's own where it has no
// such operation: R is a required member, the
// range is of characters, of list members or of values, and the pattern must match the whole text. [0] is any member of
// a list, [alice] any value of a map. Tests of their own have the keys of maps, and the members that Berth never takes.
const inputs = `
CreateLocation
  R LocationName                  string   8..64       ^custom-[A-Za-z0-9\-]+
  - Tags                          list     0..200
  R Tags[0].Key                   string   1..128
  R Tags[0].Value                 string   0..256

CreateFleet
  R Name                          string   1..1024
  - Description                   string   1..1024
  - ComputeType                   enum     EC2,ANYWHERE
  - Locations                     list     1..100
  R Locations[0].Location         string   1..64       ^[A-Za-z0-9\-]+
  - AnywhereConfiguration         struct
  R AnywhereConfiguration.Cost    string   1..11       ^\d{1,5}(?:\.\d{1,5})?$
  - NewGameSessionProtectionPolicy enum    NoProtection,FullProtection
  - ResourceCreationLimitPolicy   struct
  - ResourceCreationLimitPolicy.NewGameSessionsPerCreator integer 0..
  - ResourceCreationLimitPolicy.PolicyPeriodInMinutes     integer 0..
  - MetricGroups                  list     ..1
  - MetricGroups[0]               string   1..255
  - PlayerGatewayMode             enum     DISABLED,ENABLED,REQUIRED
  - Tags                          list     0..200
  R Tags[0].Key                   string   1..128
  R Tags[0].Value                 string   0..256

RegisterCompute
  R FleetId                       string   1..512      ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  R ComputeName                   string   1..128      ^[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?
  - CertificatePath               string   1..1024
  - DnsName                       string   1..256      ^[0-9a-zA-Z_\-\.]+
  - IpAddress                     string   1..128      ^[0-9A-Fa-f\:\.]+
  - Location                      string   1..64       ^[A-Za-z0-9\-]+

CreateGameSession
  - FleetId                       string   1..512      ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - AliasId                       string   ..          ^alias-\S+|^arn:.*:alias\/alias-\S+
  R MaximumPlayerSessionCount     integer  0..
  - Name                          string   1..1024
  - GameProperties                list     ..16
  R GameProperties[0].Key         string   ..32
  R GameProperties[0].Value       string   ..96
  - CreatorId                     string   1..1024
  - GameSessionId                 string   1..48       [a-zA-Z0-9-]+
  - IdempotencyToken              string   1..48       [a-zA-Z0-9-]+
  - GameSessionData               string   1..262144
  - Location                      string   1..64       ^[A-Za-z0-9\-]+

DescribeGameSessions
  - FleetId                       string   1..512      ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - GameSessionId                 string   1..512      [a-zA-Z0-9:/-]+
  - AliasId                       string   ..          ^alias-\S+|^arn:.*:alias\/alias-\S+
  - Location                      string   1..64       ^[A-Za-z0-9\-]+
  - StatusFilter                  string   1..1024
  - Limit                         integer  1..
  - NextToken                     string   1..1024

UpdateGameSession
  R GameSessionId                 string   1..512      [a-zA-Z0-9:/-]+
  - MaximumPlayerSessionCount     integer  0..
  - Name                          string   1..1024
  - PlayerSessionCreationPolicy   enum     ACCEPT_ALL,DENY_ALL
  - ProtectionPolicy              enum     NoProtection,FullProtection
  - GameProperties                list     ..16
  R GameProperties[0].Key         string   ..32
  R GameProperties[0].Value       string   ..96

CreatePlayerSession
  R GameSessionId                 string   1..512      [a-zA-Z0-9:/-]+
  R PlayerId                      string   1..1024
  - PlayerData                    string   1..2048

CreatePlayerSessions
  R GameSessionId                 string   1..512      [a-zA-Z0-9:/-]+
  R PlayerIds                     list     1..25
  - PlayerIds[0]                  string   1..1024
  - PlayerDataMap                 struct
  - PlayerDataMap[alice]          string   1..2048

DescribePlayerSessions
  - GameSessionId                 string   1..512      [a-zA-Z0-9:/-]+
  - PlayerId                      string   1..1024
  - PlayerSessionId               string   ..          ^psess-\S+
  - PlayerSessionStatusFilter     string   1..1024
  - Limit                         integer  1..
  - NextToken                     string   1..1024

AcceptPlayerSession
  R GameSessionId                 string   1..512      [a-zA-Z0-9:/-]+
  R PlayerSessionId               string   ..          ^psess-\S+

RemovePlayerSession
  R GameSessionId                 string   1..512      [a-zA-Z0-9:/-]+
  R PlayerSessionId               string   ..          ^psess-\S+

ListLocations
  - Filters                       list     1..2
  - Filters[0]                    enum     AWS,CUSTOM
  - Limit                         integer  1..200
  - NextToken                     string   1..1024

DeleteLocation
  R LocationName                  string   1..128     ^custom-[A-Za-z0-9\-]+|^arn:.*:location\/custom-\S+

ListFleets
  - Limit                         integer  1..
  - NextToken                     string   1..1024

DescribeFleetAttributes
  - FleetIds                      list     1..
  - FleetIds[0]                   string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - Limit                         integer  1..
  - NextToken                     string   1..1024

DescribeFleetUtilization
  - FleetIds                      list     1..
  - FleetIds[0]                   string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - Limit                         integer  1..
  - NextToken                     string   1..1024

UpdateFleetAttributes
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - Name                          string   1..1024
  - Description                   string   1..1024
  - NewGameSessionProtectionPolicy enum     NoProtection,FullProtection
  - ResourceCreationLimitPolicy   struct
  - ResourceCreationLimitPolicy.NewGameSessionsPerCreator integer  0..
  - ResourceCreationLimitPolicy.PolicyPeriodInMinutes integer  0..
  - MetricGroups                  list     ..1
  - MetricGroups[0]               string   1..255
  - AnywhereConfiguration         struct
  R AnywhereConfiguration.Cost    string   1..11      ^\d{1,5}(?:\.\d{1,5})?$

DeleteFleet
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$

CreateFleetLocations
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  R Locations                     list     1..100
  R Locations[0].Location         string   1..64      ^[A-Za-z0-9\-]+

DescribeFleetLocationAttributes
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - Locations                     list     1..100
  - Locations[0]                  string   1..64      ^[A-Za-z0-9\-]+
  - Limit                         integer  1..
  - NextToken                     string   1..1024

DeleteFleetLocations
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  R Locations                     list     1..100
  - Locations[0]                  string   1..64      ^[A-Za-z0-9\-]+

DescribeCompute
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  R ComputeName                   string   ..1024     ^[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?$|^arn:.*:compute\/[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?

ListCompute
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - Location                      string   1..64      ^[A-Za-z0-9\-]+
  - ComputeStatus                 enum     ACTIVE,IMPAIRED
  - Limit                         integer  1..
  - NextToken                     string   1..1024

DeregisterCompute
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  R ComputeName                   string   ..1024     ^[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?$|^arn:.*:compute\/[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?

GetComputeAuthToken
  R FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  R ComputeName                   string   ..1024     ^[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?$|^arn:.*:compute\/[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?

CreateAlias
  R Name                          string   1..1024    .*\S.*
  - Description                   string   1..1024
  R RoutingStrategy               struct
  - RoutingStrategy.Type          enum     SIMPLE,TERMINAL
  - RoutingStrategy.FleetId       string   1..128     ^[a-z]*fleet-[a-zA-Z0-9\-]+
  - RoutingStrategy.Message       string   ..
  - Tags                          list     0..200
  R Tags[0].Key                   string   1..128
  R Tags[0].Value                 string   0..256

DescribeAlias
  R AliasId                       string   ..         ^alias-\S+|^arn:.*:alias\/alias-\S+

ResolveAlias
  R AliasId                       string   ..         ^alias-\S+|^arn:.*:alias\/alias-\S+

ListAliases
  - RoutingStrategyType           enum     SIMPLE,TERMINAL
  - Name                          string   1..
  - Limit                         integer  1..
  - NextToken                     string   1..

UpdateAlias
  R AliasId                       string   ..         ^alias-\S+|^arn:.*:alias\/alias-\S+
  - Name                          string   1..1024    .*\S.*
  - Description                   string   1..1024
  - RoutingStrategy               struct
  - RoutingStrategy.Type          enum     SIMPLE,TERMINAL
  - RoutingStrategy.FleetId       string   1..128     ^[a-z]*fleet-[a-zA-Z0-9\-]+
  - RoutingStrategy.Message       string   ..

DeleteAlias
  R AliasId                       string   ..         ^alias-\S+|^arn:.*:alias\/alias-\S+

TagResource
  R ResourceARN                   string   1..1011
  R Tags                          list     0..200
  R Tags[0].Key                   string   1..128
  R Tags[0].Value                 string   0..256

UntagResource
  R ResourceARN                   string   1..1011
  R TagKeys                       list     0..200
  - TagKeys[0]                    string   1..128

ListTagsForResource
  R ResourceARN                   string   1..1011

DescribeGameSessionDetails
  - FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - GameSessionId                 string   1..512     [a-zA-Z0-9:/-]+
  - AliasId                       string   ..         ^alias-\S+|^arn:.*:alias\/alias-\S+
  - Location                      string   1..64      ^[A-Za-z0-9\-]+
  - StatusFilter                  string   1..1024
  - Limit                         integer  1..
  - NextToken                     string   1..1024

SearchGameSessions
  - FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - AliasId                       string   ..         ^alias-\S+|^arn:.*:alias\/alias-\S+
  - Location                      string   1..64      ^[A-Za-z0-9\-]+
  - FilterExpression              string   1..1024
  - SortExpression                string   1..1024
  - Limit                         integer  1..
  - NextToken                     string   1..1024

TerminateGameSession
  R GameSessionId                 string   1..512     [a-zA-Z0-9:/-]+
  R TerminationMode               enum     TRIGGER_ON_PROCESS_TERMINATE,FORCE_TERMINATE

CreateGameSessionQueue
  R Name                          string   1..128     [a-zA-Z0-9-]+
  - TimeoutInSeconds              integer  0..
  - PlayerLatencyPolicies         list     ..
  - PlayerLatencyPolicies[0].MaximumIndividualPlayerLatencyMilliseconds integer  0..
  - PlayerLatencyPolicies[0].PolicyDurationSeconds integer  0..
  - Destinations                  list     ..
  - Destinations[0].DestinationArn string   1..512     [a-zA-Z0-9:/-]+
  - FilterConfiguration           struct
  - FilterConfiguration.AllowedLocations list     1..100
  - FilterConfiguration.AllowedLocations[0] string   1..64      ^[A-Za-z0-9\-]+
  - PriorityConfiguration         struct
  - PriorityConfiguration.PriorityOrder list     1..4
  - PriorityConfiguration.PriorityOrder[0] enum     LATENCY,COST,DESTINATION,LOCATION
  - PriorityConfiguration.LocationOrder list     1..100
  - PriorityConfiguration.LocationOrder[0] string   1..64      ^[A-Za-z0-9\-]+
  - CustomEventData               string   0..256
  - NotificationTarget            string   0..300     [a-zA-Z0-9:_-]*(\.fifo)?
  - Tags                          list     0..200
  R Tags[0].Key                   string   1..128
  R Tags[0].Value                 string   0..256

DescribeGameSessionQueues
  - Names                         list     ..
  - Names[0]                      string   1..256     [a-zA-Z0-9-]+|^arn:.*:gamesessionqueue\/[a-zA-Z0-9-]+
  - Limit                         integer  1..
  - NextToken                     string   1..1024

UpdateGameSessionQueue
  R Name                          string   1..256     [a-zA-Z0-9-]+|^arn:.*:gamesessionqueue\/[a-zA-Z0-9-]+
  - TimeoutInSeconds              integer  0..
  - PlayerLatencyPolicies         list     ..
  - PlayerLatencyPolicies[0].MaximumIndividualPlayerLatencyMilliseconds integer  0..
  - PlayerLatencyPolicies[0].PolicyDurationSeconds integer  0..
  - Destinations                  list     ..
  - Destinations[0].DestinationArn string   1..512     [a-zA-Z0-9:/-]+
  - FilterConfiguration           struct
  - FilterConfiguration.AllowedLocations list     1..100
  - FilterConfiguration.AllowedLocations[0] string   1..64      ^[A-Za-z0-9\-]+
  - PriorityConfiguration         struct
  - PriorityConfiguration.PriorityOrder list     1..4
  - PriorityConfiguration.PriorityOrder[0] enum     LATENCY,COST,DESTINATION,LOCATION
  - PriorityConfiguration.LocationOrder list     1..100
  - PriorityConfiguration.LocationOrder[0] string   1..64      ^[A-Za-z0-9\-]+
  - CustomEventData               string   0..256
  - NotificationTarget            string   0..300     [a-zA-Z0-9:_-]*(\.fifo)?

DeleteGameSessionQueue
  R Name                          string   1..256     [a-zA-Z0-9-]+|^arn:.*:gamesessionqueue\/[a-zA-Z0-9-]+

StartGameSessionPlacement
  R PlacementId                   string   1..48      [a-zA-Z0-9-]+
  R GameSessionQueueName          string   1..256     [a-zA-Z0-9-]+|^arn:.*:gamesessionqueue\/[a-zA-Z0-9-]+
  - GameProperties                list     ..16
  R GameProperties[0].Key         string   ..32
  R GameProperties[0].Value       string   ..96
  R MaximumPlayerSessionCount     integer  0..
  - GameSessionName               string   1..1024
  - PlayerLatencies               list     ..
  - PlayerLatencies[0].PlayerId   string   1..1024
  - PlayerLatencies[0].RegionIdentifier string   1..1024
  - PlayerLatencies[0].LatencyInMilliseconds float    0..
  - DesiredPlayerSessions         list     ..
  - DesiredPlayerSessions[0].PlayerId string   1..1024
  - DesiredPlayerSessions[0].PlayerData string   1..2048
  - GameSessionData               string   1..262144
  - PriorityConfigurationOverride struct
  - PriorityConfigurationOverride.PlacementFallbackStrategy enum     DEFAULT_AFTER_SINGLE_PASS,NONE
  R PriorityConfigurationOverride.LocationOrder list     1..10
  - PriorityConfigurationOverride.LocationOrder[0] string   1..64      ^[A-Za-z0-9\-]+

DescribeGameSessionPlacement
  R PlacementId                   string   1..48      [a-zA-Z0-9-]+

StopGameSessionPlacement
  R PlacementId                   string   1..48      [a-zA-Z0-9-]+

PlacePlayerSessions
  - FleetId                       string   1..512     ^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$
  - AliasId                       string   ..         ^alias-\S+|^arn:.*:alias\/alias-\S+
  - FilterExpression              string   1..1024
  - SortExpression                string   1..1024
  R PlayerIds                     list     1..25
  - PlayerIds[0]                  string   1..1024
  - PlayerDataMap                 struct
  - PlayerDataMap[alice]          string   1..2048
`

// member is a line of inputs.
type member struct {
	operation string
	path      string
	required  bool
	kind      string
	min, max  int // of the range; -1: none
	pattern   string
	values    []string // of an enum
}

func inputMembers(t *testing.T) (all []member) {
	t.Helper()
	operation := ""
	for line := range strings.Lines(inputs) {
		words := strings.Fields(line)
		switch len(words) {
		case 0:
			continue
		case 1:
			operation = words[0]
			continue
		}
		m := member{operation: operation, required: words[0] == "R", path: words[1], kind: words[2], min: -1, max: -1}
		switch {
		case m.kind == "enum":
			m.values = strings.Split(words[3], ",")
		case m.kind != "struct":
			least, most, ok := strings.Cut(words[3], "..")
			if !ok {
				t.Fatalf("no range in %q", line)
			}
			if least != "" {
				m.min, _ = strconv.Atoi(least)
			}
			if most != "" {
				m.max, _ = strconv.Atoi(most)
			}
			if len(words) > 4 {
				m.pattern = words[4]
			}
		}
		all = append(all, m)
	}
	return all
}

// sample is what matches a pattern and what does not.
type sample struct {
	shortest int
	match    func(n int) string // n characters
	refused  []string
}

var samples = map[string]sample{
	`^custom-[A-Za-z0-9\-]+`: begin("custom-", "cellar-under-house", "custom-under_house", "custom-cellar\n", "custom-keller-süd"),
	`^[A-Za-z0-9\-]+`:        begin("", "custom_cellar", "custom cellar", "custom-cellar\n", "süd"),
	`^custom-[A-Za-z0-9\-]+|^arn:.*:location\/custom-\S+`: begin("custom-",
		"custom-", "cellar", "custom-under_house", "custom-cellar\n", "arn:aws:gamelift:us-east-1::location/", "arn:aws:gamelift:us-east-1::fleet/custom-cellar"),
	`^[a-z]*fleet-[a-zA-Z0-9\-]+`: begin("fleet-", "fleet-", "Fleet-1", "fleet-1_2", "fleet-1\n"),
	`^[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?$|^arn:.*:compute\/[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?`: begin("",
		"", "host_1", "host/", "/host", "host/1/2", "host 1", "host\n", "arn:aws:gamelift:us-east-1::compute/", "arn:aws:gamelift:us-east-1::fleet/host"),
	`[a-zA-Z0-9-]+|^arn:.*:gamesessionqueue\/[a-zA-Z0-9-]+`: begin("",
		"a_b", "a/b", "ab\n", "ü", "arn:aws:gamelift:us-east-1::gamesessionqueue/", "arn:aws:gamelift:us-east-1::alias/a"),
	`[a-zA-Z0-9:_-]*(\.fifo)?`: begin("", "a.b", "a/b", "a b", "a.fifo.fifo", ".fifo\n", "ü"),
	`.*\S.*`:                   begin("", " ", "\t\n "),
	`[a-zA-Z0-9-]+`:            begin("", "a_b", "a/b", "ab\n", "ü"),
	`[a-zA-Z0-9:/-]+`:          begin("", "a_b", "a.b", "ab\n", "ü"),
	`^psess-\S+`:               begin("psess-", "psess-", "session-1", "xpsess-1", "psess-1 2", "psess-1\n"),
	`^alias-\S+|^arn:.*:alias\/alias-\S+`: begin("alias-",
		"alias-", "arn:aws:gamelift:us-east-1::alias/", "alias-1 2", "alias-1\n"),
	`^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet\/[a-z]*fleet-[a-zA-Z0-9\-]+$`: begin("fleet-",
		"fleet-", "Fleet-1", "fleet-1_2", "fleet-1\n", "arn:aws:gamelift:us-east-1::fleet/1", "arn:aws:gamelift:us-east-1::alias/fleet-1"),
	`^[a-zA-Z0-9\-]+(\/[a-zA-Z0-9\-]+)?`: begin("", "host_1", "host/", "/host", "host/1/2", "host 1", "host\n"),
	`^[0-9a-zA-Z_\-\.]+`:                 begin("", "box:80", "box example", "box.example\n", "böx.example"),
	`^[0-9A-Fa-f\:\.]+`:                  begin("", "192.0.2.7/24", "box.example", "192.0.2.7\n"),
	`^\d{1,5}(?:\.\d{1,5})?$`: {1, func(n int) string { return strings.Repeat("1", n-min(n-1, 6)) + ".12345"[:min(n-1, 6)] },
		[]string{"123456", "1.123456", ".5", "1.", "1,5", "-1", "1\n"}},
}

// begin samples a pattern that any number of letters match, once the text begins right.
func begin(prefix string, refused ...string) sample {
	return sample{len(prefix) + 1, func(n int) string { return prefix + strings.Repeat("a", n-len(prefix)) }, refused}
}

// beyond are the messages with which an input is refused although it breaks no constraint: because nothing goes by that
// name, because members do not go together, or because Berth does not have what is asked for.
var beyond = regexp.MustCompile(`^(there is no (game session|player session|fleet|alias|location|placement|resource) |fleet \S+ has no (location|compute) |` +
	`Location \S+ is not a location of |` +
	`Locations is empty; |Location is missing; name |neither FleetId nor AliasId is given|` +
	`FleetId and AliasId are both given|GameSessionId is given with FleetId or AliasId|[02] of GameSessionId, PlayerId and PlayerSessionId are given|` +
	`NextToken is not one that this list gave|(PlayerSession)?StatusFilter is |` +
	`ComputeType is not ANYWHERE; |PlayerGatewayMode is (ENABLED|REQUIRED); |` +
	`MaximumPlayerSessionCount is \d+; it must be 0 to 200 |Limit is \d+; it must be 1 to (100|20)$|` +
	`Tags has 200 members; a resource may have 50 at most|\S+ would have 200 tags; it may have 50 at most|` +
	`fleet \S+ would have more than 100 locations|` +
	`RoutingStrategy.FleetId is (missing; a SIMPLE|fleet-\S+, and there is no such fleet|for SIMPLE aliases)|RoutingStrategy.Type is "";|` +
	`RoutingStrategy.Message is (missing; a TERMINAL|for TERMINAL aliases)|` +
	`(Filter|Sort)Expression, |Destinations\[0\]: |Destinations\[0\].DestinationArn is missing|` +
	`PlayerLatencies\[0\] lacks |DesiredPlayerSessions\[0\].PlayerId is missing|` +
	`DesiredPlayerSessions has 1 members, and MaximumPlayerSessionCount is 0; |` +
	`PlayerDataMap has "alice")`)

// validInput makes an input of an operation that succeeds.
func (s *service) validInput(operation string) members {
	s.t.Helper()
	switch operation {
	case "CreateLocation":
		return members{"LocationName": s.fresh("custom-attic-")}
	case "CreateFleet":
		return members{
			"Name": "castle", "ComputeType": "ANYWHERE", "Locations": []any{members{"Location": location}},
			"AnywhereConfiguration": members{"Cost": "0.25"}, "ResourceCreationLimitPolicy": members{}, "MetricGroups": []any{"group"},
		}
	case "RegisterCompute":
		return members{"FleetId": s.fleet, "ComputeName": s.fresh("host-"), "Location": location, "IpAddress": "192.0.2.9", "DnsName": "host.example"}
	case "CreateGameSession":
		return members{"FleetId": s.fleet, "MaximumPlayerSessionCount": 1, "GameProperties": []any{members{"Key": "mode", "Value": "duel"}}}
	case "DescribeGameSessions":
		return members{"FleetId": s.fleet}
	case "UpdateGameSession":
		return members{"GameSessionId": s.newGameSession(1), "GameProperties": []any{members{"Key": "mode", "Value": "duel"}}}
	case "CreatePlayerSession":
		return members{"GameSessionId": s.newGameSession(1), "PlayerId": "alice"}
	case "CreatePlayerSessions":
		return members{"GameSessionId": s.newGameSession(25), "PlayerIds": []any{"bob", "alice"}, "PlayerDataMap": members{"alice": "level 7"}}
	case "DescribePlayerSessions":
		return members{"GameSessionId": s.newGameSession(1)}
	case "AcceptPlayerSession", "RemovePlayerSession":
		game := s.newGameSession(1)
		input := members{"GameSessionId": game, "PlayerSessionId": s.reserve(game)}
		if operation == "RemovePlayerSession" {
			s.mustCall("AcceptPlayerSession", input)
		}
		return input
	case "ListLocations":
		return members{"Filters": []any{"CUSTOM"}}
	case "DeleteLocation":
		return members{"LocationName": s.newLocation()}
	case "ListFleets", "ListAliases":
		return members{}
	case "DescribeFleetAttributes", "DescribeFleetUtilization":
		return members{"FleetIds": []any{s.fleet}}
	case "UpdateFleetAttributes":
		return members{
			"FleetId": s.newFleet(), "AnywhereConfiguration": members{"Cost": "0.25"}, "ResourceCreationLimitPolicy": members{}, "MetricGroups": []any{"group"},
		}
	case "DeleteFleet":
		return members{"FleetId": s.newFleet()}
	case "CreateFleetLocations":
		return members{"FleetId": s.newFleet(), "Locations": []any{members{"Location": s.newLocation()}}}
	case "DescribeFleetLocationAttributes", "DeleteFleetLocations":
		return members{"FleetId": s.newFleet(), "Locations": []any{location}}
	case "ListCompute":
		return members{"FleetId": s.fleet}
	case "DescribeCompute", "GetComputeAuthToken":
		return members{"FleetId": s.fleet, "ComputeName": "box"}
	case "DeregisterCompute":
		input := s.validInput("RegisterCompute")
		s.mustCall("RegisterCompute", input)
		return members{"FleetId": s.fleet, "ComputeName": input["ComputeName"]}
	case "CreateAlias":
		return members{"Name": "front", "RoutingStrategy": members{"Type": "SIMPLE", "FleetId": s.fleet}}
	case "DescribeAlias", "ResolveAlias", "DeleteAlias":
		return members{"AliasId": s.newAlias("AliasId")}
	case "UpdateAlias":
		return members{"AliasId": s.newAlias("AliasId"), "RoutingStrategy": members{"Type": "SIMPLE", "FleetId": s.fleet}}
	case "TagResource":
		return members{"ResourceARN": s.newAlias("AliasArn"), "Tags": []any{members{"Key": "team", "Value": "red"}}}
	case "UntagResource":
		return members{"ResourceARN": s.newAlias("AliasArn"), "TagKeys": []any{"team"}}
	case "ListTagsForResource":
		return members{"ResourceARN": s.newAlias("AliasArn")}
	case "DescribeGameSessionDetails", "SearchGameSessions":
		return members{"FleetId": s.fleet}
	case "TerminateGameSession":
		return members{"GameSessionId": s.newGameSession(1), "TerminationMode": "FORCE_TERMINATE"}
	case "CreateGameSessionQueue":
		return queueSettings(members{"Name": s.fresh("queue-")})
	case "UpdateGameSessionQueue":
		return queueSettings(members{"Name": s.newQueue()})
	case "DescribeGameSessionQueues":
		return members{"Names": []any{s.newQueue()}}
	case "DeleteGameSessionQueue":
		return members{"Name": s.newQueue()}
	case "StartGameSessionPlacement":
		return members{
			"PlacementId": s.fresh("placement-"), "GameSessionQueueName": s.newQueue(), "MaximumPlayerSessionCount": 1,
			"GameProperties":                []any{members{"Key": "mode", "Value": "duel"}},
			"PlayerLatencies":               []any{members{"PlayerId": "alice", "RegionIdentifier": location, "LatencyInMilliseconds": 20.5}},
			"DesiredPlayerSessions":         []any{members{"PlayerId": "alice"}},
			"PriorityConfigurationOverride": members{"LocationOrder": []any{location}},
		}
	case "DescribeGameSessionPlacement", "StopGameSessionPlacement":
		input := s.validInput("StartGameSessionPlacement")
		s.mustCall("StartGameSessionPlacement", input)
		return members{"PlacementId": input["PlacementId"]}
	case "PlacePlayerSessions":
		s.newGameSession(25)
		return members{"FleetId": s.fleet, "PlayerIds": []any{"bob", "alice"}, "PlayerDataMap": members{"alice": "level 7"}}
	}
	s.t.Fatalf("no input for %s; add one, and its members to the table", operation)
	return nil
}

// queueSettings adds settings of a queue to an input.
func queueSettings(input members) members {
	input["FilterConfiguration"] = members{"AllowedLocations": []any{location}}
	input["PriorityConfiguration"] = members{"PriorityOrder": []any{"COST"}, "LocationOrder": []any{location}}
	return input
}

// listOf makes a valid value of n members for a list.
func (s *service) listOf(operation, path string, n int) []any {
	list := make([]any, n)
	for i := range list {
		switch path {
		case "PlayerIds":
			list[i] = []string{"alice", fmt.Sprint("player", i)}[min(i, 1)] // alice has data
		case "MetricGroups":
			list[i] = "group"
		case "GameProperties", "Tags":
			list[i] = members{"Key": fmt.Sprint("key", i), "Value": ""}
		case "Locations":
			name := s.newLocation()
			if list[i] = name; strings.HasPrefix(operation, "Create") {
				list[i] = members{"Location": name}
			}
		case "Filters":
			list[i] = []string{"CUSTOM", "AWS"}[i%2]
		case "FleetIds":
			list[i] = s.fleet
		case "TagKeys", "PriorityConfigurationOverride.LocationOrder", "PriorityConfiguration.LocationOrder", "FilterConfiguration.AllowedLocations":
			list[i] = fmt.Sprint("name-", i)
		case "PriorityConfiguration.PriorityOrder":
			list[i] = []string{"LATENCY", "COST", "DESTINATION", "LOCATION"}[i%4]
		case "Destinations":
			list[i] = members{"DestinationArn": "arn:aws:gamelift:us-east-1::fleet/" + s.fleet}
		case "PlayerLatencyPolicies":
			list[i] = members{"MaximumIndividualPlayerLatencyMilliseconds": 100}
		default:
			s.t.Fatalf("no value for %s of %s", path, operation)
		}
	}
	return list
}

// with returns the input with another value at a path such as "GameProperties[0].Key". A nil value takes the member out.
func (m members) with(path string, value any) members {
	steps := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) })
	var at any = m
	for _, step := range steps[:len(steps)-1] {
		switch container := at.(type) {
		case members:
			at = container[step]
		case []any:
			i, _ := strconv.Atoi(step)
			at = container[i]
		}
	}
	last := steps[len(steps)-1]
	switch container := at.(type) {
	case members:
		if container[last] = value; value == nil {
			delete(container, last)
		}
	case []any:
		i, _ := strconv.Atoi(last)
		container[i] = value
	}
	return m
}

// trial calls an operation with one member of a valid input changed.
type trial struct {
	value  any
	says   string   // what the value is, for a failure of the test
	refuse []string // the parts of the message that refuses it; none: it breaks no constraint
}

func (m member) trials(s *service) (all []trial) {
	accept := func(value any, says string) { all = append(all, trial{value, says, nil}) }
	refuse := func(value any, says, why string) { all = append(all, trial{value, says, []string{m.path, why}}) }

	if m.required {
		refuse(nil, "nothing", "is missing; it is required")
	} else if !strings.HasSuffix(m.path, "]") {
		accept(nil, "nothing")
	}
	makeValue := map[string]func(int) any{
		"string":  func(n int) any { return strings.Repeat("🎮", n) }, // one character, two UTF-16 units, four bytes
		"integer": func(n int) any { return n },
		"float":   func(n int) any { return float64(n) + 0.5 },
		"list":    func(n int) any { return s.listOf(m.operation, m.path, n) },
	}[m.kind]
	if m.pattern != "" {
		sample := samples[m.pattern]
		makeValue = func(n int) any {
			if n < sample.shortest {
				return strings.Repeat("a", n)
			}
			return sample.match(n)
		}
		accept(sample.match(sample.shortest), "the shortest text that matches")
		for _, text := range sample.refused {
			refuse(text, fmt.Sprintf("%q", text), "does not match the pattern")
		}
	}
	for _, value := range m.values {
		accept(value, value)
		refuse(strings.ToLower(value), strings.ToLower(value), "must be one of")
		refuse(value+" ", value+" and a space", "must be one of")
	}
	if m.kind == "enum" {
		refuse("", "empty text", "must be one of")
	}
	if m.min >= 0 {
		if m.pattern == "" {
			accept(makeValue(m.min), fmt.Sprintf("the minimum %d", m.min))
		}
		if m.min > 0 || m.kind == "integer" || m.kind == "float" {
			refuse(makeValue(m.min-1), fmt.Sprint(m.min-1), fmt.Sprintf("the minimum is %d", m.min))
		}
	}
	if m.max >= 0 {
		accept(makeValue(m.max), fmt.Sprintf("the maximum %d", m.max))
		refuse(makeValue(m.max+1), fmt.Sprint(m.max+1), fmt.Sprintf("the maximum is %d", m.max))
	}
	return all
}

func TestEveryConstraintOfTheServiceModelIsKept(t *testing.T) {
	for _, w := range wires {
		s := newService(t)
		for _, m := range inputMembers(t) {
			t.Run(w.name+"/"+m.operation+"/"+m.path, func(t *testing.T) {
				for _, trial := range m.trials(s) {
					input := s.validInput(m.operation)
					if list, _, member := strings.Cut(m.path, "[0]"); member && !strings.Contains(list, ".") && input[list] == nil {
						input[list] = s.listOf(m.operation, list, 1)
					}
					r := w.call(t, s, m.operation, input.with(m.path, trial.value))
					switch {
					case trial.refuse != nil:
						refused(t, r, trial.refuse...)
						if !strings.HasPrefix(r.text("Message"), m.path) {
							t.Errorf("the message does not begin with the member: %q", r.text("Message"))
						}
					case r.status != http.StatusOK && !beyond.MatchString(r.text("Message")):
						t.Errorf("%d %s", r.status, r.text("Message"))
					}
					if t.Failed() {
						t.Fatalf("%s of %s was %s", m.path, m.operation, trial.says)
					}
				}
			})
		}
	}
}

func TestTheTableOfConstraintsHasEveryOperation(t *testing.T) {
	var named []string
	for _, m := range inputMembers(t) {
		if !slices.Contains(named, m.operation) {
			named = append(named, m.operation)
		}
	}
	served := api.Operations()
	slices.Sort(named)
	slices.Sort(served)
	if !slices.Equal(named, served) {
		t.Errorf("the table has %v, but served are %v", named, served)
	}
}

func TestKeysOfPlayerDataMapAreConstrainedLikePlayerIds(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		call := func(player string) reply {
			return w.call(t, s, "CreatePlayerSessions", members{
				"GameSessionId": s.newGameSession(2), "PlayerIds": []string{player}, "PlayerDataMap": members{player: "level 7"},
			})
		}
		if r := call(strings.Repeat("🎮", 1024)); r.status != http.StatusOK || r.text("PlayerSessions", 0, "PlayerData") != "level 7" {
			t.Errorf("%d %s", r.status, r.body)
		}
		refused(t, call(strings.Repeat("🎮", 1025)), "PlayerDataMap[", "the maximum is 1024")
		refused(t, call(""), "PlayerDataMap[]", "the minimum is 1")
		others := w.call(t, s, "CreatePlayerSessions", members{
			"GameSessionId": s.newGameSession(2), "PlayerIds": []string{"alice"}, "PlayerDataMap": dataOf(30),
		})
		if others.status != http.StatusOK || others.text("PlayerSessions", 0, "PlayerId") != "alice" {
			t.Errorf("with data of others: %d %s", others.status, others.body)
		}
	})
}

func TestEveryBrokenConstraintIsNamed(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		refused(t, w.call(t, s, "CreateGameSession", members{"FleetId": "boat-1", "Name": "", "GameProperties": []members{{"Key": strings.Repeat("k", 33)}}}),
			"FleetId does not match the pattern", "MaximumPlayerSessionCount is missing", "Name has 0 characters; the minimum is 1",
			"GameProperties[0].Key has 33 characters; the maximum is 32", "GameProperties[0].Value is missing")
	})
}

func TestTenBrokenConstraintsAreNamedAtMost(t *testing.T) {
	s := newService(t)
	properties := make([]members, 16) // each lacks Key and Value
	for i := range properties {
		properties[i] = members{}
	}
	eachWire(t, func(t *testing.T, w wire) {
		r := w.call(t, s, "UpdateGameSession", members{"GameProperties": properties})
		refused(t, r, "GameSessionId is missing", "GameProperties[0].Key is missing")
		if n := strings.Count(r.text("Message"), "; it is required"); n != 10 {
			t.Errorf("%d constraints are named, want 10: %s", n, r.text("Message"))
		}
	})
}

func dataOf(players int) map[string]string {
	data := make(map[string]string)
	for i := range players {
		data[fmt.Sprint("player", i)] = "level 7"
	}
	return data
}

func tagsOf(n int) []property {
	tags := make([]property, n)
	for i := range tags {
		tags[i] = property{fmt.Sprint("key", i), "value"}
	}
	return tags
}

func TestResourceKeepsFiftyTags(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		for operation, arnAt := range map[string][]any{
			"CreateFleet": {"FleetAttributes", "FleetArn"}, "CreateLocation": {"Location", "LocationArn"},
			"CreateAlias": {"Alias", "AliasArn"}, "CreateGameSessionQueue": {"GameSessionQueue", "GameSessionQueueArn"},
		} {
			arn := w.must(t, s, operation, s.validInput(operation).with("Tags", tagsOf(50))).text(arnAt...)
			list := w.must(t, s, "ListTagsForResource", members{"ResourceARN": arn})
			if tags, err := w.list(list.at("Tags")); err != nil || len(tags) != 50 || list.text("Tags", 0, "Value") != "value" {
				t.Errorf("%s has the tags %q (error: %v)", arn, list.body, err)
			}
			refused(t, w.call(t, s, "TagResource", members{"ResourceARN": arn, "Tags": []property{{"other", ""}}}), "would have 51 tags; it may have 50 at most")
			w.must(t, s, "UntagResource", members{"ResourceARN": arn, "TagKeys": []string{"key0", "unheard-of"}})
			w.must(t, s, "TagResource", members{"ResourceARN": arn, "Tags": []property{{"other", ""}, {"key1", "changed"}}})
			list = w.must(t, s, "ListTagsForResource", members{"ResourceARN": arn})
			if list.text("Tags", 0, "Key") != "key1" || list.text("Tags", 0, "Value") != "changed" {
				t.Errorf("%s has the tags %q", arn, list.body)
			}
		}
	})
}

func TestLimitsOfBerthItselfAreNamed(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		for _, c := range []struct {
			operation string
			path      string
			value     any
			says      string
		}{
			{"CreateGameSession", "MaximumPlayerSessionCount", 201, "MaximumPlayerSessionCount is 201; it must be 0 to 200"},
			{"UpdateGameSession", "MaximumPlayerSessionCount", 201, "MaximumPlayerSessionCount is 201; it must be 0 to 200"},
			{"DescribeGameSessions", "Limit", 101, "Limit is 101; it must be 1 to 100"},
			{"DescribePlayerSessions", "Limit", 101, "Limit is 101; it must be 1 to 100"},
			{"DescribeGameSessions", "StatusFilter", "ASLEEP", "StatusFilter is"},
			{"DescribePlayerSessions", "PlayerSessionStatusFilter", "ASLEEP", "it must be RESERVED, ACTIVE, COMPLETED or TIMEDOUT"},
			{"CreatePlayerSessions", "PlayerIds", []string{"alice", "alice"}, `"alice" twice`},
			{"CreateGameSession", "GameProperties", []property{{"a", "1"}, {"a", "2"}}, `"a" twice`},
			{"CreateGameSession", "FleetId", nil, "neither FleetId nor AliasId is given; give one"},
			{"CreateFleet", "ComputeType", nil, "ComputeType is not ANYWHERE"},
			{"CreateFleet", "ComputeType", "EC2", "ComputeType is not ANYWHERE"},
			{"CreateFleet", "PlayerGatewayMode", "REQUIRED", "PlayerGatewayMode is REQUIRED"},
			{"CreateFleet", "Locations", nil, "Locations is empty"},
			{"CreateFleet", "Tags", tagsOf(51), "Tags has 51 members; a resource may have 50 at most"},
			{"CreateLocation", "Tags", tagsOf(51), "Tags has 51 members; a resource may have 50 at most"},
			{"CreateAlias", "Tags", tagsOf(51), "Tags has 51 members; a resource may have 50 at most"},
			{"CreateGameSessionQueue", "Tags", tagsOf(51), "Tags has 51 members; a resource may have 50 at most"},
			{"TagResource", "Tags", tagsOf(51), "would have 51 tags; it may have 50 at most"},
			{"SearchGameSessions", "FleetId", nil, "neither FleetId nor AliasId is given; give one"},
			{"DescribeGameSessionDetails", "Limit", 101, "Limit is 101; it must be 1 to 100"},
			{"ListFleets", "Limit", 101, "Limit is 101; it must be 1 to 100"},
			{"ListAliases", "Limit", 101, "Limit is 101; it must be 1 to 100"},
			{"ListCompute", "Limit", 101, "Limit is 101; it must be 1 to 100"},
			{"PlacePlayerSessions", "PlayerIds", []string{"alice", "alice"}, `"alice" twice`},
			{"PlacePlayerSessions", "FleetId", nil, "neither FleetId nor AliasId is given; give one"},
			{"StartGameSessionPlacement", "MaximumPlayerSessionCount", 201, "MaximumPlayerSessionCount is 201; it must be 0 to 200"},
			{"StartGameSessionPlacement", "PlayerLatencies[0].PlayerId", nil, "PlayerLatencies[0] lacks PlayerId"},
			{"StartGameSessionPlacement", "DesiredPlayerSessions[0].PlayerId", nil, "DesiredPlayerSessions[0].PlayerId is missing"},
			{"StartGameSessionPlacement", "MaximumPlayerSessionCount", 0, "they must fit in"},
			{"CreateGameSessionQueue", "PriorityConfiguration.PriorityOrder", []string{"COST", "COST"}, "PriorityConfiguration.PriorityOrder has a member twice"},
			{"CreateGameSessionQueue", "PriorityConfiguration.LocationOrder", []string{"a", "a"}, "PriorityConfiguration.LocationOrder has a member twice"},
			// The model's integers have 32 bits.
			{"CreateGameSessionQueue", "TimeoutInSeconds", 1 << 31, "TimeoutInSeconds is 2147483648; the maximum is 2147483647"},
			{"UpdateGameSessionQueue", "PlayerLatencyPolicies", []members{{"PolicyDurationSeconds": 1 << 31}}, "PlayerLatencyPolicies[0].PolicyDurationSeconds is 2147483648"},
			{"CreateFleet", "ResourceCreationLimitPolicy.PolicyPeriodInMinutes", 1 << 31, "ResourceCreationLimitPolicy.PolicyPeriodInMinutes is 2147483648"},
			{"StartGameSessionPlacement", "PlayerLatencies[0].LatencyInMilliseconds", 1e30, "PlayerLatencies[0].LatencyInMilliseconds is 1e+30; the maximum is 2147483647"},
			{"CreateAlias", "RoutingStrategy.FleetId", nil, "RoutingStrategy.FleetId is missing"},
			{"CreateAlias", "RoutingStrategy.Type", nil, "RoutingStrategy.Type is"},
			{"RegisterCompute", "Location", nil, "Location is missing"},
			{"DescribePlayerSessions", "GameSessionId", nil, "0 of GameSessionId, PlayerId and PlayerSessionId are given"},
		} {
			refused(t, w.call(t, s, c.operation, s.validInput(c.operation).with(c.path, c.value)), c.says)
		}
		input := s.validInput("CreateGameSession")
		input["GameSessionId"], input["IdempotencyToken"] = "a", "a"
		refused(t, w.call(t, s, "CreateGameSession", input), "GameSessionId and IdempotencyToken are both given")
	})
}

func TestMembersOfFleetsOnAWSMachinesAreRefused(t *testing.T) {
	s := newService(t)
	eachWire(t, func(t *testing.T, w wire) {
		for _, member := range []string{
			"BuildId", "ScriptId", "ServerLaunchPath", "ServerLaunchParameters", "LogPaths", "EC2InstanceType", "EC2InboundPermissions",
			"RuntimeConfiguration", "PeerVpcAwsAccountId", "PeerVpcId", "FleetType", "InstanceRoleArn",
			"InstanceRoleCredentialsProvider", "PlayerGatewayConfiguration",
		} {
			for _, value := range []any{"text", 7, false, []any{1, members{"a": nil}}, members{"Key": []any{"Value"}}} {
				refused(t, w.call(t, s, "CreateFleet", s.validInput("CreateFleet").with(member, value)), member+" is of no use to an Anywhere fleet")
			}
		}
		certificates := func(kind string) reply {
			return w.call(t, s, "CreateFleet", s.validInput("CreateFleet").with("CertificateConfiguration", members{"CertificateType": kind}))
		}
		refused(t, certificates("GENERATED"), "Berth makes no certificates")
		if r := certificates("DISABLED"); r.status != http.StatusOK {
			t.Errorf("without certificates: %d %s", r.status, r.body)
		}
	})
}
