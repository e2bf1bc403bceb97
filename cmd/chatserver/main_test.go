package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chatserver": main})
}

// The program finds the service and who it is where an unmodified game server does, and ends in good order.
func TestEnvironmentOfTheServerSDKIsEnough(t *testing.T) {
	ctx := t.Context()
	log := slog.New(slog.DiscardHandler)
	slots, err := allocator.Open(ctx, allocator.Config{Redis: allocatortest.Miniredis(t).NewClient(t), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	service := api.New(api.Config{Allocator: slots, Logger: log})
	server := httptest.NewTLSServer(service)
	defer server.Close()
	defer service.DropGameServers(context.Background())
	if _, err := slots.CreateLocation(ctx, allocator.CreateLocationInput{Name: "custom-cellar"}); err != nil {
		t.Fatal(err)
	}
	fleet, err := slots.CreateFleet(ctx, allocator.CreateFleetInput{Name: "fleet", Locations: []string{"custom-cellar"}})
	if err != nil {
		t.Fatal(err)
	}
	compute := allocator.RegisterComputeInput{FleetID: fleet.ID, Name: "box", Location: "custom-cellar", IPAddress: "127.0.0.1"}
	if _, err := slots.RegisterCompute(ctx, compute); err != nil {
		t.Fatal(err)
	}
	token, err := slots.GetComputeAuthToken(ctx, fleet.ID, "box")
	if err != nil {
		t.Fatal(err)
	}

	deadline, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	program := exec.CommandContext(deadline, "chatserver", "--skip-verify", "--addr", "127.0.0.1:0")
	program.Env = append(program.Environ(),
		"GAMELIFT_SDK_WEBSOCKET_URL=wss"+strings.TrimPrefix(server.URL, "https")+"/server-sdk",
		"GAMELIFT_SDK_AUTH_TOKEN="+token.Token, "GAMELIFT_SDK_FLEET_ID="+string(fleet.ID), "GAMELIFT_SDK_HOST_ID=box", "GAMELIFT_SDK_PROCESS_ID=one")
	stderr, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	output, players := bufio.NewReader(stderr), ""
	for players == "" {
		line, err := output.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`process=one players=(\S+)`).FindStringSubmatch(line); found != nil {
			players = found[1]
		}
	}
	process, err := slots.DescribeServerProcess(ctx, allocator.ServerProcessID{FleetID: fleet.ID, ComputeName: "box", ProcessID: "one"})
	if err != nil || fmt.Sprint("127.0.0.1:", process.Port) != players {
		t.Errorf("players come to %s, and the service knows of %+v (error: %v)", players, process, err)
	}
	conn, err := net.Dial("tcp", players)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "psess-1")
	told, err := io.ReadAll(conn)
	if want := "* you cannot play: no game session has begun here\n"; string(told) != want || err != nil {
		t.Errorf("a player is told %q (error: %v), want %q", told, err, want)
	}

	program.Process.Signal(syscall.SIGTERM)
	rest, _ := io.ReadAll(output)
	if err := program.Wait(); err != nil {
		t.Errorf("the program ended with %v; it wrote\n%s", err, rest)
	}
	process, err = slots.DescribeServerProcess(ctx, allocator.ServerProcessID{FleetID: fleet.ID, ComputeName: "box", ProcessID: "one"})
	if err == nil {
		t.Errorf("then the service still knows of %+v", process)
	}
}

func TestProgramSaysWhatItLacks(t *testing.T) {
	wrote, err := exec.Command("chatserver").CombinedOutput()
	if want := "missing flags: --auth-token=TOKEN, --fleet-id=ID, --host-id=NAME, --websocket-url=URL"; err == nil || !strings.Contains(string(wrote), want) {
		t.Errorf("it wrote %s (error: %v), want %q", wrote, err, want)
	}
	wrote, err = exec.Command("chatserver", "--websocket-url=ws://127.0.0.1:1", "--auth-token=", "--fleet-id=fleet-1", "--host-id=box").CombinedOutput()
	if want := "--auth-token is empty; ask GetComputeAuthToken"; err == nil || !strings.Contains(string(wrote), want) {
		t.Errorf("it wrote %s (error: %v), want %q", wrote, err, want)
	}
}
