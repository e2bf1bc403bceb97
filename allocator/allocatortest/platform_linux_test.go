package allocatortest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestNodeThatIsSilentDuringALeapIsNotFailed(t *testing.T) {
	s := Cluster(t)
	var nodes []*redis.Client
	eachServer(t, s, func(node *redis.Client) { nodes = append(nodes, node) })
	known := func(node *redis.Client) string {
		t.Helper()
		text, err := node.ClusterNodes(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	silent, others := nodes[0], nodes[1:]
	info, err := silent.InfoMap(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	s.Advance(silence/2 + time.Hour) // all others are pinged now
	for _, node := range others {
		Eventually(t, 20*time.Second, func() bool {
			for line := range strings.Lines(known(node)) {
				// id, address, flags, master, time of the ping that awaits an answer, ...
				if f := strings.Fields(line); strings.HasPrefix(f[1], s.nodes[0].Addr+"@") && f[4] != "0" {
					return true
				}
			}
			return false
		}, "the silent node is pinged")
	}
	s.Advance(48 * time.Hour)
	passRealTime(t, 250*time.Millisecond) // two looks at the other nodes
	for _, node := range others {
		if text := known(node); strings.Contains(text, "fail") {
			t.Errorf("a node says\n%s", text)
		}
	}

	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		must(t, s.Client().Set(t.Context(), fmt.Sprint(i), 1, 0))
	}
}

func TestServersEndWithTheTestProcess(t *testing.T) {
	const victim = "ALLOCATORTEST_VICTIM"
	if os.Getenv(victim) != "" {
		fmt.Println("addrs", strings.Join(Cluster(t).addrs(), " "))
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}

	Redis(t) // skips where a server cannot be had
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), victim+"=1", "TMPDIR="+t.TempDir())
	out, _ := cmd.Output() // it kills itself
	var addrs []string
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "addrs "); ok {
			addrs = strings.Fields(rest)
		}
	}
	if len(addrs) != masters {
		t.Fatalf("the other process started %d servers, want %d; it said\n%s", len(addrs), masters, out)
	}
	for _, addr := range addrs {
		Eventually(t, 10*time.Second, func() bool { return !accepts(addr) }, addr+" ends with the process that started it")
	}
}
