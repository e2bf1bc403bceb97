package lua_test

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/berthgg/berth/lua"
)

func TestHeadersHoldForTheirBodies(t *testing.T) {
	for _, file := range scripts(t) {
		for _, breach := range breaches(file, lua.Source(strings.TrimSuffix(file, ".lua"))) {
			t.Errorf("%s: %s", file, breach)
		}
	}
}

func TestAllocatorUsesEachScript(t *testing.T) {
	source, err := os.ReadFile("../allocator/script.go")
	if err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, match := range regexp.MustCompile(`(?m)= (?:change|upkeep|read)\("(\w+)"\)$`).FindAllStringSubmatch(string(source), -1) {
		used = append(used, match[1]+".lua")
	}
	slices.Sort(used)
	if files := scripts(t); !slices.Equal(files, used) {
		t.Errorf("the scripts are\n%s\nand the allocator uses\n%s", files, used)
	}
}

func TestUnknownScriptPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Source gave a script that is not there")
		}
	}()
	lua.Source("no_such_script")
}

func scripts(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(lua.Files, "*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts (error: %v)", len(files), err)
	}
	slices.Sort(files)
	return files
}

var (
	opening   = regexp.MustCompile(`^-- (\S+): \S.*\.$`)
	declared  = regexp.MustCompile(`(?m)^-- (KEYS|ARGV)\[(\d+)(\.\.)?\] \S`)
	literal   = regexp.MustCompile(`\b(KEYS|ARGV)\[(\d+)\]`)
	computed  = regexp.MustCompile(`\b(KEYS|ARGV)\[[^\]]*[a-z][^\]]*\]|unpack\((KEYS|ARGV)\b`)
	promised  = regexp.MustCompile(`(?m)^-- RETURNS (\w+)`)
	returned  = regexp.MustCompile(`(?:\breturn|\breply(?:, \w+)* =) \{'(\w+)'`)
	returns   = regexp.MustCompile(`\breturn\b`)
	called    = regexp.MustCompile(`redis\.call\('(\w+)'`)
	anyCall   = regexp.MustCompile(`\bredis\.\w+\b`)
	forbidden = regexp.MustCompile(`cjson\.encode|\bgoto\b|#!|\bcmsgpack\b|\bbit\.|\bstruct\.|\bos\.|\bmath\.random|redis\.pcall`)
)

// What the commands of the scripts do. A command that is in neither list is not known to be safe.
var (
	reading = []string{
		"TIME", "EXISTS", "GET", "HGET", "HMGET", "HGETALL", "HKEYS", "HEXISTS", "HLEN", "PTTL", "SCARD", "SISMEMBER", "ZSCORE", "ZMSCORE", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE",
	}
	writing = []string{
		"SET", "DEL", "PEXPIRE", "PEXPIREAT", "HSET", "HDEL", "HINCRBY", "SADD", "SREM", "ZADD", "ZREM", "ZREMRANGEBYSCORE",
	}
)

// breaches lists how a script breaks the rules of this package.
func breaches(file, source string) (found []string) {
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	header, body := split(source)
	body = unroll(body)

	first, _, _ := strings.Cut(header, "\n")
	if match := opening.FindStringSubmatch(first); match == nil || match[1] != file {
		report("the first line does not name the file and say what it does: %q", first)
	}
	if match := forbidden.FindString(source); match != "" {
		report("uses %s", match)
	}

	// KEYS and ARGV.
	fixed := make(map[string]bool)  // "KEYS[1]"
	rest := make(map[string]int)    // "KEYS" → n of KEYS[n..]
	highest := make(map[string]int) // "KEYS" → what was declared last
	for _, match := range declared.FindAllStringSubmatch(header, -1) {
		table, n := match[1], number(match[2])
		if n != highest[table]+1 || rest[table] > 0 {
			report("%s[%d] is declared out of turn", table, n)
		}
		highest[table] = n
		if match[3] != "" {
			rest[table] = n
		} else {
			fixed[match[1]+"["+match[2]+"]"] = true
		}
	}
	used := make(map[string]bool)
	for _, match := range literal.FindAllStringSubmatch(body, -1) {
		used[match[0]] = true
		if table, n := match[1], number(match[2]); !fixed[match[0]] && (rest[table] == 0 || n < rest[table]) {
			report("%s is used and not declared", match[0])
		}
	}
	for key := range fixed {
		if !used[key] {
			report("%s is declared and not used", key)
		}
	}
	ranges := make(map[string]bool)
	for _, match := range computed.FindAllStringSubmatch(body, -1) {
		ranges[match[1]+match[2]] = true
	}
	for _, table := range []string{"KEYS", "ARGV"} {
		if ranges[table] != (rest[table] > 0) {
			report("%s[n..] is declared: %v; used: %v", table, rest[table] > 0, ranges[table])
		}
	}

	// Status words.
	promises, replies := words(promised, header), words(returned, body)
	if !slices.Equal(promises, replies) {
		report("the header promises %v and the body returns %v", promises, replies)
	}

	// Read, decide, write.
	firstWrite := -1
	for _, at := range called.FindAllStringSubmatchIndex(body, -1) {
		command := body[at[2]:at[3]]
		switch {
		case slices.Contains(writing, command):
			if firstWrite < 0 {
				firstWrite = at[0]
			}
		case !slices.Contains(reading, command):
			report("calls %s, which this test does not know", command)
		}
	}
	if calls := len(called.FindAllString(body, -1)); calls != len(anyCall.FindAllString(body, -1)) {
		report("has a redis.call whose command this test cannot see")
	}
	if firstWrite >= 0 {
		after := body[firstWrite:]
		lastLine := after[strings.LastIndex(strings.TrimSpace(after), "\n")+1:]
		if n := len(returns.FindAllString(after, -1)); n != 1 || !strings.HasPrefix(lastLine, "return {'OK'") && !strings.HasPrefix(lastLine, "return reply") {
			report("returns before its end although it may have written")
		}
	}
	return found
}

// split separates the comment at the top of a script from its body, of which comments are left out.
func split(source string) (header, body string) {
	var top, rest []string
	for line := range strings.Lines(source) {
		switch comment := strings.HasPrefix(strings.TrimSpace(line), "--"); {
		case comment && len(rest) == 0:
			top = append(top, line)
		case !comment:
			rest = append(rest, line)
		}
	}
	return strings.Join(top, ""), strings.Join(rest, "")
}

// unroll writes out the loops between two constants, so that the indexes in them can be seen.
func unroll(body string) string {
	for {
		at := constantLoop.FindStringSubmatchIndex(body)
		if at == nil {
			return body
		}
		indent, variable := body[at[2]:at[3]], body[at[4]:at[5]]
		first, last := number(body[at[6]:at[7]]), number(body[at[8]:at[9]])
		inside, after, _ := strings.Cut(body[at[1]:], "\n"+indent+"end\n")
		rounds := ""
		for i := first; i <= last; i++ {
			rounds += strings.ReplaceAll(inside, "["+variable+"]", "["+strconv.Itoa(i)+"]") + "\n"
		}
		body = body[:at[0]] + rounds + after
	}
}

var constantLoop = regexp.MustCompile(`(?m)^( *)for (\w+) = (\d+), (\d+) do\n`)

// words lists what an expression captures, each once, in order.
func words(expression *regexp.Regexp, text string) (all []string) {
	for _, match := range expression.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		panic(err)
	}
	return n
}

func TestBreachesAreFound(t *testing.T) {
	const good = `-- example.lua: does this and that.
--
-- KEYS[1] first   hash
-- KEYS[2..] others  hash
-- ARGV[1] a value
--
-- RETURNS OK value
-- RETURNS NO reason
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value then
  return {'NO', 'why'}
end

for i = 2, #KEYS do
  redis.call('DEL', KEYS[i])
end
return {'OK', value}
`
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"another name", "example.lua:", "other.lua:", "first line"},
		{"no purpose", ": does this and that.", ":", "first line"},
		{"an undeclared key", "KEYS[1], ARGV[1]", "KEYS[0], KEYS[1], ARGV[1]", "KEYS[0] is used and not declared"},
		{"an undeclared argument", "ARGV[1])", "ARGV[1], ARGV[2])", "ARGV[2] is used and not declared"},
		{"an unused argument", "-- ARGV[1] a value\n", "-- ARGV[1] a value\n-- ARGV[2] another\n", "ARGV[2] is declared and not used"},
		{"a gap", "-- ARGV[1] a value\n", "-- ARGV[2] a value\n", "out of turn"},
		{"an undeclared range", "-- KEYS[2..] others  hash\n", "-- KEYS[2] other  hash\n", "KEYS[n..] is declared: false; used: true"},
		{"an unused range", "-- ARGV[1] a value\n", "-- ARGV[1] a value\n-- ARGV[2..] more\n", "ARGV[n..] is declared: true; used: false"},
		{"an undeclared range in unpack", "'DEL', KEYS[i])", "'DEL', KEYS[i], unpack(ARGV, 2))", "ARGV[n..] is declared: false; used: true"},
		{"a constant loop", "local value = redis.call('HGET', KEYS[1], ARGV[1])\n", "local value\nfor i = 1, 1 do\n  value = redis.call('HGET', KEYS[i], ARGV[i])\nend\n", ""},
		{"a constant loop too long", "local value = redis.call('HGET', KEYS[1], ARGV[1])\n", "local value\nfor i = 1, 2 do\n  value = redis.call('HGET', KEYS[i], ARGV[i])\nend\n", "ARGV[2] is used and not declared"},
		{"a word too few", "-- RETURNS NO reason\n", "", "promises [OK] and the body returns [NO OK]"},
		{"a word too many", "-- RETURNS NO reason\n", "-- RETURNS NO reason\n-- RETURNS MAYBE\n", "promises [MAYBE NO OK]"},
		{"a refusal after a write", "  redis.call('DEL', KEYS[i])\n", "  redis.call('DEL', KEYS[i])\n  if i > 7 then return {'NO'} end\n", "although it may have written"},
		{"an OK in between", "  redis.call('DEL', KEYS[i])\n", "  redis.call('DEL', KEYS[i])\n  if i > 7 then return {'OK'} end\n", "although it may have written"},
		{"an unknown command", "'HGET'", "'HGETDEL'", "HGETDEL, which this test does not know"},
		{"a hidden command", "redis.call('DEL', KEYS[i])", "redis.call(command, KEYS[i])", "cannot see"},
		{"cjson", "return {'OK', value}", "return {'OK', cjson.encode({})}", "uses cjson.encode"},
		{"goto", "for i = 2, #KEYS do\n", "for i = 2, #KEYS do\n  goto done\n", "uses goto"},
		{"a shebang", "-- example.lua", "#!lua flags=no-writes\n-- example.lua", "uses #!"},
		{"bit", "ARGV[1])", "bit.tohex(ARGV[1]))", "uses bit."},
		{"struct", "ARGV[1])", "struct.pack(ARGV[1]))", "uses struct."},
		{"cmsgpack", "ARGV[1])", "cmsgpack.pack(ARGV[1]))", "uses cmsgpack"},
		{"another clock", "ARGV[1])", "ARGV[1] + os.time())", "uses os."},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: the example has no %q", c.name, c.old)
		}
		found := strings.Join(breaches("example.lua", strings.Replace(good, c.old, c.new, 1)), "\n")
		if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, found, c.want)
		}
	}
}
