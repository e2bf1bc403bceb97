package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// TestScripts runs testdata/script/*.txtar, which show how the program behaves. Beside the commands that testscript has,
// they use
//
//	serve [flag…]             runs berth serve until it is stopped; ADDR and URL say where. A free port, unless --addr is given
//	stop                      tells it to stop, which must succeed; what it wrote is stdout and stderr
//	[!] call operation input  calls an operation; the answer is stdout
//	get path                  gets a path of the service; the answer is stdout
//	store                     starts an empty Redis; REDIS says where
//	redis command argument…   sends it a command; the answer is stdout
//	exits status command…     runs a command as exec does, which must exit with that status
//	capture name pattern      sets a variable to what the group in the pattern matches in stdout, or in a text that follows
func TestScripts(t *testing.T) {
	variables := settings(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(2 * time.Minute), // for a program that was to end and runs on
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, quickEnd)
			env.Values[service{}] = &service{t: env.T().(testing.TB)}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": func(ts *testscript.TestScript, neg bool, args []string) {
				once(ts, neg)
				var env []string
				for _, name := range variables {
					if value := ts.Getenv(name); value != "" {
						env = append(env, name+"="+value)
					}
				}
				s := serviceOf(ts)
				s.process = serveWith(s.t, env, args...)
				ts.Setenv("ADDR", s.addr)
				ts.Setenv("URL", s.url())
			},
			"stop": func(ts *testscript.TestScript, neg bool, _ []string) {
				once(ts, neg)
				ts.Check(serviceOf(ts).stop())
				ts.Stdout().Write([]byte(serviceOf(ts).stdout.String()))
				ts.Stderr().Write([]byte(serviceOf(ts).stderr.String()))
			},
			"call": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 2 {
					ts.Fatalf("usage: call operation input")
				}
				status, body, err := serviceOf(ts).call(args[0], args[1])
				ts.Check(err)
				ts.Stdout().Write([]byte(body + "\n"))
				if failed := status != http.StatusOK; failed != neg {
					ts.Fatalf("the status is %d", status)
				}
			},
			"get": func(ts *testscript.TestScript, neg bool, args []string) {
				once(ts, neg)
				request, err := http.NewRequest(http.MethodGet, serviceOf(ts).url()+args[0], nil)
				ts.Check(err)
				status, body, err := do(request)
				ts.Check(err)
				ts.Stdout().Write([]byte(body))
				if status != http.StatusOK {
					ts.Fatalf("the status is %d", status)
				}
			},
			"store": func(ts *testscript.TestScript, neg bool, _ []string) {
				once(ts, neg)
				s := serviceOf(ts)
				s.store = allocatortest.Miniredis(s.t)
				ts.Setenv("REDIS", s.store.URL())
			},
			"redis": func(ts *testscript.TestScript, neg bool, args []string) {
				once(ts, neg)
				command := make([]any, len(args))
				for i, arg := range args {
					command[i] = arg
				}
				answer, err := serviceOf(ts).store.Client().Do(context.Background(), command...).Result()
				ts.Check(err)
				fmt.Fprintln(ts.Stdout(), answer)
			},
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				once(ts, neg)
				status := 0
				var failed *exec.ExitError
				if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
					status = failed.ExitCode()
				} else {
					ts.Check(err)
				}
				if strconv.Itoa(status) != args[0] {
					ts.Fatalf("the status is %d", status)
				}
			},
			"capture": func(ts *testscript.TestScript, neg bool, args []string) {
				once(ts, neg)
				text := strings.Join(args[2:], " ")
				if text == "" {
					text = ts.ReadFile("stdout")
				}
				found := regexp.MustCompile(args[1]).FindStringSubmatch(text)
				if found == nil {
					ts.Fatalf("nothing in %q matches %s", text, args[1])
				}
				ts.Setenv(args[0], found[1])
			},
		},
	})
}

// service is what a script serves.
type service struct {
	*process
	store *allocatortest.Store
	t     testing.TB
}

func serviceOf(ts *testscript.TestScript) *service { return ts.Value(service{}).(*service) }

func once(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("this command cannot be negated")
	}
}

// settings are the names of all variables of the environment that the program reads.
func settings(t *testing.T) (names []string) {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.DefaultEnvars("BERTH"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			names = append(names, flag.Envs...)
		}
	}
	return names
}
