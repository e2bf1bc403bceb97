package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// refusal is a call that must be refused, a line of testdata/refusals.jsonl: the operation, the exception and the input. Every
// exception that an operation declares is there if anything can raise it: InternalServiceException, which tells of the store, is
// tested elsewhere, and nothing here raises UnauthorizedException, NotReadyException, TaggingFailedException, OutOfCapacityException
// and UnsupportedRegionException.
type refusal struct {
	operation, exception string
	input                json.RawMessage
}

func (r *refusal) UnmarshalJSON(line []byte) error {
	return json.Unmarshal(line, &[]any{&r.operation, &r.exception, &r.input})
}

// refusals starts a service that has what the calls name, and another one on the same store at which all quotas are reached. It
// returns them with the calls and the file in which they are.
func refusals(t *testing.T) (p, full *process, calls []refusal, file string) {
	t.Helper()
	store := allocatortest.RedisRealTime(t)
	p = serve(t, "--redis", store.URL(), "--auto-activate")
	full = serve(t, "--redis", store.URL(), "--auto-activate",
		"--max-locations=2", "--max-fleets=3", "--max-computes-per-fleet=1", "--max-aliases=2", "--max-queues=1")
	call := func(operation, input string) string { return p.mustCall(t, operation, input) }
	set := func(key, field, value string) { // what no operation does, or does not do for long
		if err := store.Client().HSet(t.Context(), key, field, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	call("CreateLocation", `{"LocationName": "custom-a"}`)
	call("CreateLocation", `{"LocationName": "custom-b"}`)
	fleet := func(name string) string {
		made := call("CreateFleet", fmt.Sprintf(`{"Name": %q, "ComputeType": "ANYWHERE", "Locations": [{"Location": "custom-a"}]}`, name))
		return firstMatch(t, `"FleetId":"([^"]+)"`, made)
	}
	hosting, empty, deleting := fleet("hosting"), fleet("empty"), fleet("deleting")
	call("RegisterCompute", fmt.Sprintf(`{"FleetId": %q, "ComputeName": "box", "Location": "custom-a", "IpAddress": "192.0.2.7"}`, hosting))
	alias := func(strategy string) string {
		return firstMatch(t, `"AliasId":"([^"]+)"`, call("CreateAlias", `{"Name": "alias", "RoutingStrategy": `+strategy+`}`))
	}
	simple, terminal := alias(fmt.Sprintf(`{"Type": "SIMPLE", "FleetId": %q}`, hosting)), alias(`{"Type": "TERMINAL", "Message": "gone"}`)
	call("CreateGameSessionQueue", fmt.Sprintf(`{"Name": "queue", "Destinations": [{"DestinationArn": "arn:aws:gamelift:us-east-1::fleet/%s"}]}`, hosting))
	call("StartGameSessionPlacement", `{"PlacementId": "placement", "GameSessionQueueName": "queue", "MaximumPlayerSessionCount": 1}`)
	games := "arn:aws:gamelift:us-east-1::gamesession/" + hosting
	for _, name := range []string{"full", "ended", "broken"} {
		call("CreateGameSession", fmt.Sprintf(`{"FleetId": %q, "MaximumPlayerSessionCount": 1, "CreatorId": %q, "IdempotencyToken": %q}`, hosting, name, name))
	}
	call("CreatePlayerSession", fmt.Sprintf(`{"GameSessionId": "%s/full", "PlayerId": "alice"}`, games))
	call("TerminateGameSession", fmt.Sprintf(`{"GameSessionId": "%s/ended", "TerminationMode": "FORCE_TERMINATE"}`, games))
	call("UpdateFleetAttributes", fmt.Sprintf(`{"FleetId": %q, "ResourceCreationLimitPolicy": {"NewGameSessionsPerCreator": 1, "PolicyPeriodInMinutes": 60}}`, hosting))
	call("CreateGameSession", fmt.Sprintf(`{"FleetId": %q, "MaximumPlayerSessionCount": 1, "CreatorId": "creator"}`, hosting))
	set("berth:{control}:fleet:"+deleting, "status", "DELETING")
	set(gameSessionKeyOf(hosting, "broken"), "status", "ERROR")

	text, err := os.ReadFile("testdata/refusals.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer("$FLEET", hosting, "$EMPTY", empty, "$DELETING", deleting, "$ALIAS", simple, "$TERMINAL", terminal, "$GAMES", games, "$LONG", strings.Repeat("x", 2000)).Replace(string(text))
	file = filepath.Join(t.TempDir(), "refusals.jsonl")
	if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(filled)); lines.Scan(); {
		var r refusal
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		calls = append(calls, r)
	}
	return p, full, calls, file
}

func TestGoSDKKnowsEveryRefusal(t *testing.T) {
	p, full, calls, _ := refusals(t)
	for _, r := range calls {
		service := p
		if r.exception == "LimitExceededException" {
			service = full
		}
		method := reflect.ValueOf(sdk(service.url())).MethodByName(r.operation)
		input := reflect.New(method.Type().In(1).Elem())
		if err := json.Unmarshal(r.input, input.Interface()); err != nil {
			t.Fatal(err)
		}
		err, _ := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), input})[1].Interface().(error)
		var exception smithy.APIError
		if !errors.As(err, &exception) || exception.ErrorCode() != r.exception || exception.ErrorMessage() == "" || !strings.HasPrefix(reflect.TypeOf(exception).String(), "*types.") {
			t.Errorf("%s %s is answered with %v (%T), want the SDK's type of %s", r.operation, r.input, err, exception, r.exception)
		}
	}
}

func TestBoto3KnowsEveryRefusal(t *testing.T) {
	interpreter := python(t)
	p, full, calls, file := refusals(t)
	raised := strings.TrimSpace(output(t, awsEnvironment(t), interpreter, "testdata/boto3_refusals.py", p.url(), full.url(), file))
	t.Logf("boto3 raised %s of %d refusals", raised, len(calls))
}

// gameSessionKeyOf is where the record of a game session is.
func gameSessionKeyOf(fleet, name string) string {
	digest := sha256.Sum256([]byte(fleet + "/" + name))
	return fmt.Sprintf("berth:{%d}:gs:%s", digest[0], base64.RawURLEncoding.EncodeToString(digest[:16]))
}
