package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// shellBlocks returns the commands that a demo prints: what is indented, with continued lines in one piece.
func shellBlocks(printed string) (commands []string) {
	for line := range strings.Lines(strings.ReplaceAll(printed, "\\\n", "\\\n\x00")) {
		text, continued := strings.CutPrefix(line, "\x00")
		switch {
		case continued:
			commands[len(commands)-1] += text
		case strings.HasPrefix(line, "  "):
			commands = append(commands, line)
		}
	}
	return commands
}

// paste runs what a demo prints in a shell: its variables and those of its commands that begin with a program's name. A
// player session id takes the place of the one that the reader is to put in.
func paste(t *testing.T, printed, program, player string) (wrote []string) {
	t.Helper()
	var exports string
	for _, command := range shellBlocks(printed) {
		switch name := strings.Fields(command)[0]; name {
		case "export":
			exports += command
		case program:
			script := strings.ReplaceAll(exports+command, "psess-…", player)
			wrote = append(wrote, output(t, awsEnvironment(t), "sh", "-ec", script))
		case "aws", "curl":
		default:
			t.Errorf("the demo prints a command of %s: %s", name, command)
		}
	}
	return wrote
}

func TestDemoPrintsCurlCommandsThatWorkAsPasted(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		allocatortest.Missing(t, "curl is not in the PATH")
	}
	for name, flags := range map[string][]string{
		"embedded": {"--demo"},
		"tls":      {"--demo", "--tls-self-signed"},
		"redis":    {"--demo", "--redis", allocatortest.RedisRealTime(t).URL()},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, flags...)
			player := firstMatch(t, `"PlayerSessionId":"(psess-[^"]+)"`, paste(t, p.stdout.String(), "curl", "")[0])
			accepted := paste(t, p.stdout.String(), "curl", player)
			if len(accepted) != 2 || !strings.Contains(accepted[0], `"Status":"RESERVED"`) || strings.TrimSpace(accepted[1]) != "{}" {
				t.Errorf("the commands wrote %q, want a RESERVED player session and nothing", accepted)
			}
			read := p.mustCall(t, "DescribePlayerSessions", fmt.Sprintf(`{"PlayerSessionId": %q}`, player))
			if !strings.Contains(read, `"Status":"ACTIVE"`) {
				t.Errorf("then the player session is %s, want it ACTIVE", read)
			}
			game := firstMatch(t, `export GAME=(\S+)`, p.stdout.String())
			described := p.mustCall(t, "DescribeGameSessions", fmt.Sprintf(`{"GameSessionId": %q}`, game))
			if !strings.Contains(described, `"CurrentPlayerSessionCount":2,"MaximumPlayerSessionCount":4`) {
				t.Errorf("then the game session is %s, want two of four slots taken", described)
			}
		})
	}
}

// awsCLI returns the path of the aws CLI.
func awsCLI(t *testing.T) string {
	t.Helper()
	cli, err := exec.LookPath("/usr/bin/aws")
	if err != nil {
		if cli, err = exec.LookPath("aws"); err != nil {
			allocatortest.Missing(t, "the aws CLI is not in the PATH: install the package awscli (Debian, Ubuntu)")
		}
	}
	return cli
}

func TestDemoPrintsAWSCommandsThatWorkAsPasted(t *testing.T) {
	cli := awsCLI(t)
	for name, flags := range map[string][]string{"plain": {"--demo"}, "tls": {"--demo", "--tls-self-signed"}} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, flags...)
			wrote := paste(t, strings.ReplaceAll(p.stdout.String(), "  aws ", "  "+cli+" "), cli, "")
			if len(wrote) != 3 {
				t.Fatalf("the demo prints %d aws commands, want 3", len(wrote))
			}
			player := firstMatch(t, `"PlayerSessionId": "(psess-[^"]+)"`, wrote[0])
			if !strings.Contains(wrote[1], player) || !strings.Contains(wrote[1], `"Status": "RESERVED"`) {
				t.Errorf("describe-player-sessions wrote %s, want the RESERVED player session %s", wrote[1], player)
			}
			if !strings.Contains(wrote[2], `"CurrentPlayerSessionCount": 1`) {
				t.Errorf("describe-game-sessions wrote %s, want one slot taken", wrote[2])
			}
		})
	}
}

func TestDemoCanBeGivenAgainOnTheSameStore(t *testing.T) {
	url := allocatortest.RedisRealTime(t).URL()
	first := firstMatch(t, `export GAME=(\S+)`, serve(t, "--demo", "--redis", url).stdout.String())
	second := firstMatch(t, `export GAME=(\S+)`, serve(t, "--demo", "--redis", url).stdout.String())
	if first == second {
		t.Errorf("both demos have the game session %s", first)
	}
}

// seat is where somebody plays who has pasted the commands that the demo prints.
type seat struct {
	t    *testing.T
	in   io.WriteCloser
	out  *bufio.Reader
	done func() error
}

// play pastes what the demo prints up to the connection to the game server, as a player.
func play(t *testing.T, printed, player string) *seat {
	t.Helper()
	var script strings.Builder
	for _, command := range shellBlocks(printed) {
		script.WriteString(command)
		if strings.Contains(command, "| nc ") {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	shell := exec.CommandContext(ctx, "sh", "-ec", strings.ReplaceAll(script.String(), "PLAYER=alice", "PLAYER="+player))
	shell.Env = append(environment(), awsEnvironment(t)...)
	dieWithUs(shell)
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	done := sync.OnceValue(func() error {
		in.Close()
		return shell.Wait()
	})
	t.Cleanup(func() { done() })
	return &seat{t, in, bufio.NewReader(out), done}
}

// hears waits for a line that has the text.
func (s *seat) hears(text string) {
	s.t.Helper()
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the player does not hear %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

func (s *seat) types(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

func TestDemoServerPrintsCommandsWithWhichTwoCanPlay(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		allocatortest.Missing(t, "curl is not in the PATH")
	}
	for name, flags := range map[string][]string{
		"embedded":                {"--demo-server"},
		"without auto-activation": {"--demo", "--demo-server", "--no-auto-activate"},
		"tls":                     {"--demo-server", "--tls-self-signed"},
		"redis":                   {"--demo-server", "--redis", allocatortest.RedisRealTime(t).URL()},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, flags...)
			alice := play(t, p.stdout.String(), "alice")
			alice.hears("* welcome, alice; players here: 1.")
			bob := play(t, p.stdout.String(), "bob")
			bob.hears("* welcome, bob; players here: 2.")
			bob.types("hello")
			alice.hears("bob: hello")
			if read := players(t, p); strings.Count(read, `"Status":"ACTIVE"`) != 2 {
				t.Errorf("while two play the player sessions are %s", read)
			}
			bob.types("/quit")
			bob.hears("* goodbye")
			alice.hears("* bob has left")
			allocatortest.Eventually(t, 30*time.Second, func() bool {
				return strings.Contains(players(t, p), `"Status":"COMPLETED"`)
			}, "the player session of who has left is COMPLETED")

			p.signal(syscall.SIGTERM)
			alice.hears("* the game ends; goodbye")
			if err := p.end(); err != nil {
				t.Errorf("the service ended with %v", err)
			}
			wrote := p.stderr.String()
			if strings.Contains(wrote, "level=ERROR") || strings.Count(wrote, "level=WARN") != strings.Count(wrote, "the store is inside this process") {
				t.Errorf("the service wrote\n%s", wrote)
			}
		})
	}
}

// players pastes the command of the demo that describes the player sessions.
func players(t *testing.T, p *process) string {
	t.Helper()
	var script string
	for _, command := range shellBlocks(p.stdout.String()) {
		if strings.Contains(command, "export GAME=") || strings.Contains(command, "GameLift.DescribePlayerSessions") {
			script += command
		}
	}
	return output(t, awsEnvironment(t), "sh", "-ec", script)
}

func TestDemoServerPrintsAWSCommandsThatWorkAsPasted(t *testing.T) {
	cli := awsCLI(t)
	for name, flags := range map[string][]string{"plain": {"--demo-server"}, "tls": {"--demo-server", "--tls-self-signed"}} {
		t.Run(name, func(t *testing.T) {
			var script string
			for _, command := range shellBlocks(serve(t, flags...).stdout.String()) {
				if name := strings.Fields(command)[0]; name == "export" && !strings.Contains(command, "curl") {
					script += command
				} else if name == "aws" {
					script += strings.Replace(command, "aws", cli, 1)
				}
			}
			wrote := output(t, awsEnvironment(t), "sh", "-ec", script)
			if strings.Count(wrote, `"Status": "RESERVED"`) != 2 || strings.Count(wrote, `"PlayerId": "carol"`) != 2 {
				t.Errorf("the commands wrote %s, want one player session twice", wrote)
			}
		})
	}
}

// A demo leaves no fleet, so that there can be any number of them.
func TestDemoLeavesNothingToRun(t *testing.T) {
	for _, demo := range []string{"--demo", "--demo-server"} {
		t.Run(demo, func(t *testing.T) { leavesNothingToRun(t, demo) })
	}
}

func leavesNothingToRun(t *testing.T, demo string) {
	url := allocatortest.RedisRealTime(t).URL()
	first := serve(t, demo, "--redis", url, "--max-fleets=1")
	game := firstMatch(t, `export GAME=(\S+)`, first.stdout.String())
	if err := first.stop(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	second := serve(t, demo, "--redis", url, "--max-fleets=1")
	read := second.mustCall(t, "DescribeGameSessions", fmt.Sprintf(`{"GameSessionId": %q}`, game))
	if !strings.Contains(read, `"Status":"TERMINATED"`) {
		t.Errorf("the game session of the first demo is %s, want it TERMINATED", read)
	}
	if err := second.stop(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	if wrote, err := command(t, "check", "--redis", url); err != nil {
		t.Errorf("then something is broken: %v\n%s", err, wrote)
	}
}

// firstMatch returns what the group in a pattern matches.
func firstMatch(t *testing.T, pattern, text string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing matches %s in\n%s", pattern, text)
	}
	return found[1]
}
