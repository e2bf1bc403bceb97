package main

import (
	"strings"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// failing runs berth to its end, which must be a failure, and returns what it wrote.
func failing(t *testing.T, args ...string) string {
	t.Helper()
	text, err := command(t, args...)
	if err == nil {
		t.Fatalf("berth %s succeeded:\n%s", strings.Join(args, " "), text)
	}
	return text
}

func TestServiceThatLosesItsStoreIsNotReady(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	p := serve(t, "--redis", store.URL())
	if text, err := command(t, "ready", "--addr", p.addr); err != nil || text != "ready\n" {
		t.Errorf("with its store: %q (error: %v)", text, err)
	}
	store.Client().ShutdownNoSave(t.Context())
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		_, err := command(t, "ready", "--addr", p.addr)
		return err != nil
	}, "the service is not ready")
	if wrote := failing(t, "ready", "--addr", p.addr); !strings.Contains(wrote, "503 Service Unavailable: not ready: the store does not answer") {
		t.Errorf("berth ready says %q", wrote)
	}
	if status, body, err := p.call("DescribePlayerSessions", `{"PlayerId": "alice"}`); err != nil || status != 500 || !strings.Contains(body, "the store is unavailable") {
		t.Errorf("a call: %d %s (error: %v)", status, body, err)
	}
}

func TestPasswordOfRedisIsUsedAndNotShown(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	if err := store.Client().ConfigSet(t.Context(), "requirepass", "swordfish").Err(); err != nil {
		t.Fatal(err)
	}
	with := func(password string) string { return strings.Replace(store.URL(), "redis://", "redis://"+password, 1) }
	for _, wrong := range []string{":hunter2@", "someone:hunter2@", ""} {
		wrote := failing(t, "serve", "--addr", "127.0.0.1:0", "--redis", with(wrong))
		if !strings.Contains(wrote, "berth: opening the store: the store is unavailable") || strings.Contains(wrote, "hunter2") {
			t.Errorf("with %q it wrote\n%s", wrong, wrote)
		}
	}
	p := serve(t, "--redis", with(":swordfish@"), "--log-level=debug")
	if err := p.stop(); err != nil || strings.Contains(p.stderr.String(), "swordfish") {
		t.Errorf("it ended with %v and wrote\n%s", err, &p.stderr)
	}
}

func TestStoreOfAnotherRegionIsRefused(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	serve(t, "--redis", store.URL(), "--region", "eu-west-1")
	wrote := failing(t, "serve", "--addr", "127.0.0.1:0", "--redis", store.URL())
	if !strings.Contains(wrote, "the store was set up for the region eu-west-1, and this instance for us-east-1") {
		t.Errorf("it wrote\n%s", wrote)
	}
}

func TestWrongKindOfRedisIsExplained(t *testing.T) {
	store := allocatortest.Redis(t)
	node := strings.TrimPrefix(store.URL(), "redis://")
	wantAdvice := func(url, advice string) {
		t.Helper()
		for _, command := range [][]string{{"serve", "--addr=127.0.0.1:0", "--redis", url}, {"check", "--redis", url}} {
			if wrote := failing(t, command...); !strings.Contains(wrote, advice) {
				t.Errorf("%s with %s says %s", command[0], url, wrote)
			}
		}
	}
	wantAdvice("redis-cluster://"+node, "this Redis is no cluster; begin --redis with redis://")
	wantAdvice("redis-sentinel://"+strings.Split(node, "/")[0]+"?master_name=main", "no Sentinel; begin it with redis://")
	wantAdvice("redis://anybody:wrong@"+node, "the user or password in --redis is wrong")

	acl := func(rule string) {
		t.Helper()
		if err := store.Client().Do(t.Context(), "ACL", "SETUSER", "default", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl(">secret")
	wantAdvice("redis://"+node, "this Redis wants a password; put it into --redis")
	acl("nopass")

	advised := 0 // all but the master of the keys that come first lead elsewhere
	for _, master := range allocatortest.Cluster(t).Nodes()[:3] {
		wrote, err := command(t, "check", "--redis", "redis://"+master.Client().Options().Addr)
		if err != nil && strings.Contains(wrote, "this Redis is a cluster; begin --redis with redis-cluster://") {
			advised++
		}
	}
	if advised < 2 {
		t.Errorf("%d of 3 masters of a cluster are explained", advised)
	}
}
