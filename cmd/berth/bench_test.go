package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/cmd/berth/internal/bench"
)

// few are flags of a run of 60 requests in game sessions so small that they have to be replaced all the time.
var few = []string{"--count=60", "--connections=8", "--warm-up=0s", "--slots=7", "--game-sessions=3", "--group-size=3", "--json"}

// fewOf is few for a scenario. Placements may take a slot on which another one counts, until there is a new game session; so there they
// have enough of those from the start, however slowly others are made.
func fewOf(scenario string) []string {
	if scenario == "place" {
		return append(slices.Clone(few), "--game-sessions=60")
	}
	return few
}

// benched runs berth bench, which must succeed, and returns its result.
func benched(t *testing.T, args ...string) *bench.Result {
	t.Helper()
	cmd := exec.Command("berth", append([]string{"bench"}, args...)...)
	cmd.Env = environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("berth bench %q ended with %v:\n%s", args, err, &stderr)
	}
	result := new(bench.Result)
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		t.Fatalf("berth bench %q wrote no JSON (error: %v):\n%s", args, err, &stdout)
	}
	return result
}

// allSucceeded fails the test unless each contender made so many requests, and all of them succeeded.
func allSucceeded(t *testing.T, result *bench.Result, requests int) {
	t.Helper()
	for _, c := range result.Contenders {
		if op := c.Total; op.Succeeded != requests || op.Full != 0 || op.Errors != 0 {
			t.Errorf("%s of %s over %s: %d requests succeeded, %d found no room and %d failed (%v), want %d successes",
				result.Scenario, c.Name, result.Protocol, op.Succeeded, op.Full, op.Errors, op.Outcomes, requests)
		}
		sum := 0
		for _, op := range c.Operations {
			sum += op.Succeeded
		}
		if sum != requests {
			t.Errorf("%s of %s over %s: the operations add up to %d", result.Scenario, c.Name, result.Protocol, sum)
		}
	}
}

// eachScenario runs f with each scenario, and a mix, over both protocols.
func eachScenario(f func(scenario, protocol string)) {
	for _, scenario := range append(bench.ScenarioNames(), "reserve=3,life=2,describe=1") {
		for _, protocol := range []string{"json", "cbor"} {
			f(scenario, protocol)
		}
	}
}

func TestBenchRunsEveryScenarioWithoutAnything(t *testing.T) {
	eachScenario(func(scenario, protocol string) {
		allSucceeded(t, benched(t, append([]string{"--scenario", scenario, "--protocol", protocol, "--compare=roof", "--rounds=1"}, fewOf(scenario)...)...), 60)
	})
}

// What a run made at a service is gone afterwards, or at least has ended, and the store is in order.
func TestBenchOfAServiceOversellsNothingAndCleansUp(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	p := serve(t, "--redis", store.URL(), "--auto-activate")
	players := 0
	eachScenario(func(scenario, protocol string) {
		result := benched(t, append([]string{"--url", p.url(), "--redis", store.URL(), "--scenario", scenario, "--protocol", protocol}, fewOf(scenario)...)...)
		allSucceeded(t, result, 60)
		for _, op := range result.Contenders[0].Operations {
			switch op.Name {
			case "CreatePlayerSession", "PlacePlayerSessions":
				players += op.Succeeded
			case "CreatePlayerSessions":
				players += 3 * op.Succeeded
			}
		}
		if strings.Contains(scenario, "describe") {
			players += 3 // those who are described
		}
		if store := result.Contenders[0].Rounds[0].Store; store == nil || store.CPU < 0 {
			t.Errorf("%s: the store spent %+v", scenario, store)
		}
	})
	if n := len(keysOf(t, store, "berth:{*}:ps:*")); n != players {
		t.Errorf("there are %d player sessions, and %d were made", n, players)
	}
	cleanedUp(t, p, store)
}

func keysOf(t *testing.T, store *allocatortest.Store, pattern string) []string {
	t.Helper()
	keys, err := store.Client().Keys(t.Context(), pattern).Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// cleanedUp fails the test if anything is left at a service that has not ended, or the store is not in order.
func cleanedUp(t *testing.T, p *process, store *allocatortest.Store) {
	t.Helper()
	if fleets := p.mustCall(t, "ListFleets", `{}`); fleets != `{"FleetIds":[]}` {
		t.Errorf("the fleets are %s", fleets)
	}
	if locations := p.mustCall(t, "ListLocations", `{"Filters": ["CUSTOM"]}`); locations != `{"Locations":[]}` {
		t.Errorf("the locations are %s", locations)
	}
	for _, game := range keysOf(t, store, "berth:{*}:gs:*") {
		if status := store.Client().HGet(t.Context(), game, "status").Val(); status != "TERMINATED" {
			t.Errorf("the game session %s is %s", game, status)
		}
	}
	if left := keysOf(t, store, bench.Prefix+"*"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	if wrote, err := command(t, "check", "--redis", store.URL()); err != nil || !strings.Contains(wrote, "findings: 0") {
		t.Errorf("berth check ended with %v:\n%s", err, wrote)
	}
}

func TestBenchComparesOnAStoreAndLeavesNothingThere(t *testing.T) {
	for _, store := range []*allocatortest.Store{allocatortest.RedisRealTime(t), allocatortest.ClusterRealTime(t)} {
		for _, scenario := range []string{"reserve", "reserve-hot"} {
			result := benched(t, append([]string{"--redis", store.URL(), "--scenario", scenario, "--compare=all", "--rounds=2"}, fewOf(scenario)...)...)
			var names []string
			for _, c := range result.Contenders {
				names = append(names, c.Name)
				if len(c.Rounds) != 2 || (c.Ratios == nil) != (c.Name == "berth") || (c.Rounds[0].Store == nil) != (c.Name == "roof") {
					t.Errorf("on %s there is of %s %+v", store.Name(), c.Name, c)
				}
				if c.Name == "script" && (c.Rounds[0].Store.Script <= 0 || c.Ratios.Script == nil) {
					t.Errorf("on %s the store spent on scripts %+v", store.Name(), c.Rounds)
				}
			}
			if want := append([]string{"berth"}, bench.ComparatorNames()...); !slices.Equal(names, want) {
				t.Errorf("on %s the contenders are %q, want %q", store.Name(), names, want)
			}
			allSucceeded(t, result, 2*60)
			if n := store.Client().DBSize(t.Context()).Val(); n != 0 {
				t.Errorf("on %s %d keys are left", store.Name(), n)
			}
		}
	}
}

func TestBenchComparesInsideTheProcess(t *testing.T) {
	allSucceeded(t, benched(t, append([]string{"--compare=all", "--rounds=1", "--protocol=cbor"}, few...)...), 60)
}

func TestBenchOfAServiceComparesOnItsStore(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	p := serve(t, "--redis", store.URL(), "--auto-activate")
	allSucceeded(t, benched(t, append([]string{"--url", p.url(), "--redis", store.URL(), "--compare=naive,script", "--rounds=1"}, few...)...), 60)
	cleanedUp(t, p, store)
}

func TestBenchThatIsInterruptedPrintsItsResultAndCleansUp(t *testing.T) {
	for _, rate := range []string{"0", "500"} {
		store := allocatortest.RedisRealTime(t)
		p := serve(t, "--redis", store.URL(), "--auto-activate")
		cmd := exec.Command("berth", "bench", "--url", p.url(), "--duration=1h", "--warm-up=0s", "--connections=4", "--game-sessions=3", "--rate", rate)
		cmd.Env = environment()
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		dieWithUs(cmd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		allocatortest.Eventually(t, time.Minute, func() bool { return len(keysOf(t, store, "berth:{*}:ps:*")) > 20 }, "player sessions are reserved")
		cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, &stderr)
		}
		firstMatch(t, `1h0m0s; interrupted\n(?s:.*)\n +berth +\d+ +([1-9]\d*) +0 +0 `, stdout.String())
		cleanedUp(t, p, store)
	}
}

// The service turns all calls away but one at a time.
func TestBenchTellsFailuresFromSuccessesAndCleansUpAllTheSame(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	p := serve(t, "--redis", store.URL(), "--auto-activate", "--max-waiting=1")
	op := benched(t, append([]string{"--url", p.url()}, few...)...).Contenders[0].Total
	if op.Errors == 0 || op.Outcomes["ThrottlingException"] != op.Errors || op.Succeeded != 60-op.Errors {
		t.Errorf("%d of 60 requests succeeded, and %d failed: %v", op.Succeeded, op.Errors, op.Outcomes)
	}
	if n := len(keysOf(t, store, "berth:{*}:ps:*")); n != op.Succeeded {
		t.Errorf("there are %d player sessions, and %d requests succeeded", n, op.Succeeded)
	}
	cleanedUp(t, p, store)
}

func TestBenchThatFindsNoRoomSaysSoAndFails(t *testing.T) {
	replies := map[string]string{
		"CreateFleet":       `{"FleetAttributes": {"FleetId": "fleet-1"}}`,
		"CreateGameSession": `{"GameSession": {"GameSessionId": "game-1", "Status": "ACTIVE"}}`,
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "GameLift.")
		if operation == "CreatePlayerSession" {
			w.Header().Set("X-Amzn-Errortype", "GameSessionFullException")
			w.WriteHeader(http.StatusBadRequest)
		}
		io.WriteString(w, replies[operation])
	}))
	t.Cleanup(service.Close)
	wrote := failing(t, "bench", "--url", service.URL, "--count=60", "--warm-up=0s", "--connections=8")
	firstMatch(t, `( berth +0 +0 +60 +0 )`, wrote)
	firstMatch(t, `(berth: 60 × GameSessionFullException)`, wrote)
	firstMatch(t, `(berth: no request succeeded)`, wrote)
}

func TestBenchNeedsAServiceThatActivatesGameSessions(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	p := serve(t, "--redis", store.URL())
	wrote := failing(t, append([]string{"bench", "--url", p.url()}, few...)...)
	if !strings.Contains(wrote, "FleetCapacityExceededException") || !strings.Contains(wrote, "--auto-activate") {
		t.Errorf("it wrote\n%s", wrote)
	}
	cleanedUp(t, p, store)
}

func TestBenchRefusesAStoreThatIsInUse(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	serve(t, "--redis", store.URL())
	if wrote := failing(t, append([]string{"bench", "--redis", store.URL()}, few...)...); !strings.Contains(wrote, "--redis has a store of Berth's") {
		t.Errorf("it wrote\n%s", wrote)
	}
	if n := store.Client().Exists(t.Context(), "berth:{control}:store").Val(); n != 1 {
		t.Error("the store is gone")
	}
	if n := store.Client().Exists(t.Context(), "berth:{control}:locations").Val(); n != 0 {
		t.Error("it has begun to prepare")
	}
}

// The README has a table of the flags of serve and one of those of bench.
func TestReadmeListsTheFlags(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, serving, _ := strings.Cut(string(readme), "### Flags of `berth serve`")
	serving, benching, _ := strings.Cut(serving, "### Measure it")
	benching, _, _ = strings.Cut(benching, "\n## ")
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	for command, text := range map[string]string{"serve": serving, "bench": benching} {
		i := slices.IndexFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == command })
		for _, flag := range parser.Model.Children[i].Flags {
			if !strings.Contains(text, "`--"+flag.Name+"`") {
				t.Errorf("the README lacks --%s of berth %s", flag.Name, command)
			}
		}
	}
}
