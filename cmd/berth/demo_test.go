package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

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

func TestDemoPrintsAWSCommandsThatWorkAsPasted(t *testing.T) {
	cli, err := exec.LookPath("/usr/bin/aws")
	if err != nil {
		if cli, err = exec.LookPath("aws"); err != nil {
			allocatortest.Missing(t, "the aws CLI is not in the PATH: install the package awscli (Debian, Ubuntu)")
		}
	}
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

// firstMatch returns what the group in a pattern matches.
func firstMatch(t *testing.T, pattern, text string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing matches %s in\n%s", pattern, text)
	}
	return found[1]
}
