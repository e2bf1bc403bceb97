package allocator_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/berthgg/berth/lua"
)

// scriptContracts returns a hook that holds each script call of a client to what package lua promises: the keys share one
// hash tag, and the first element of the reply is a status word of the script's header. Every Allocator of these tests has it.
func scriptContracts(t rapid.TB) *contracts { return &contracts{t} }

type contracts struct{ t rapid.TB }

func (c *contracts) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *contracts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		c.check(cmd)
		return err
	}
}

func (c *contracts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			c.check(cmd)
		}
		return err
	}
}

func (c *contracts) check(cmd redis.Cmder) {
	if broken := contractBroken(cmd); broken != "" {
		c.t.Error(broken)
	}
}

// contractBroken says how a command breaks the contract of the scripts, if it does.
func contractBroken(cmd redis.Cmder) string {
	if cmd.Name() != "eval" && cmd.Name() != "evalsha" {
		return ""
	}
	script := statusWords[fmt.Sprint(cmd.Args()[1])]
	if script == nil {
		return fmt.Sprintf("a script runs that is not in package lua: %.100s", cmd.Args()[1])
	}
	keys := cmd.Args()[3 : 3+cmd.Args()[2].(int)]
	for _, key := range keys {
		if tag := hashTag.FindString(fmt.Sprint(key)); tag == "" || tag != hashTag.FindString(fmt.Sprint(keys[0])) {
			return fmt.Sprintf("the keys of a script call do not share one hash tag: %v", keys)
		}
	}
	reply, err := cmd.(interface{ Slice() ([]any, error) }).Slice()
	if err != nil {
		return "" // the server did not run it
	}
	if len(reply) == 0 || !slices.Contains(script, fmt.Sprint(reply[0])) {
		return fmt.Sprintf("a script replied %v, its header allows %v", reply, script)
	}
	return ""
}

// hashTag is what Redis Cluster places a key by: what is in the first braces, if anything.
var hashTag = regexp.MustCompile(`^[^{]*\{[^}]+\}`)

// statusWords holds the status words in the header of each script, under its source and under its digest.
var statusWords = func() map[string][]string {
	words := make(map[string][]string)
	files, err := fs.Glob(lua.Files, "*.lua")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		source := lua.Source(strings.TrimSuffix(file, ".lua"))
		digest := sha1.Sum([]byte(source))
		for _, match := range regexp.MustCompile(`(?m)^-- RETURNS (\w+)`).FindAllStringSubmatch(source, -1) {
			words[source] = append(words[source], match[1])
		}
		words[hex.EncodeToString(digest[:])] = words[source]
	}
	return words
}()

func TestContractHookSeesWhatIsWrong(t *testing.T) {
	run := func(source string, keys []string, reply ...any) string {
		args := []any{"eval", source, len(keys)}
		for _, key := range keys {
			args = append(args, key)
		}
		cmd := redis.NewCmd(context.Background(), args...)
		cmd.SetVal(reply)
		return contractBroken(cmd)
	}
	script := lua.Source("describe_player_sessions")
	for _, c := range []struct{ name, got, want string }{
		{"as promised", run(script, []string{"berth:{1}:ps:a", "berth:{1}:ps:b"}, "OK", int64(1)), ""},
		{"a foreign script", run("return {'OK'}", []string{"berth:{1}:ps:a"}, "OK"), "not in package lua"},
		{"two hash tags", run(script, []string{"berth:{1}:ps:a", "berth:{2}:ps:b"}, "OK"), "one hash tag"},
		{"no hash tag", run(script, []string{"berth:ps:a"}, "OK"), "one hash tag"},
		{"an unknown status word", run(script, []string{"berth:{1}:ps:a"}, "FULL"), "its header allows"},
		{"no status word", run(script, []string{"berth:{1}:ps:a"}), "its header allows"},
	} {
		if (c.want == "") != (c.got == "") || !strings.Contains(c.got, c.want) {
			t.Errorf("%s: the hook says %q, want %q", c.name, c.got, c.want)
		}
	}
}
