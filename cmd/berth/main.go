// Command berth serves the Amazon GameLift player-session API from Redis. "berth --help" lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Serve the API."`
	Check   checkCommand   `cmd:"" help:"Report every broken invariant of a store, and mend it with --repair. Exits with 0, or with 2 if something is left."`
	Bench   benchCommand   `cmd:"" help:"Measure a service, and compare it with what it could be at best."`
	Ready   readyCommand   `cmd:"" help:"Ask a running service whether it is ready; exit 0 if so. For health checks of containers."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	parsed := kong.Parse(&commands{},
		kong.Name("berth"),
		kong.Description("The Amazon GameLift player-session API, served from your own Redis. Every flag of a command can be set in the environment, as BERTH_<FLAG>."),
		kong.DefaultEnvars("BERTH"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if name := emptyFlag(parsed); name != "" {
		parsed.Errorf("--%s is empty; give it a value, or leave it out", name)
		parsed.Exit(exitUsage)
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "berth:", err)
		if advice := adviceOn(err); advice != "" {
			fmt.Fprintln(os.Stderr, "berth:", advice)
		}
		if errors.Is(err, errBroken) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// exitUsage is the status with which kong ends the program after a mistake in the flags.
const exitUsage = 80

// emptyFlag is the name of a flag that was given without a value: perhaps a variable was not set that should have been, and without --redis,
// say, nothing would be kept. To no flag is that a value.
func emptyFlag(parsed *kong.Context) string {
	given := make(map[*kong.Flag]bool)
	for _, p := range parsed.Path {
		given[p.Flag] = true
	}
	for _, flag := range parsed.Flags() {
		for _, name := range flag.Envs {
			_, isSet := os.LookupEnv(name)
			given[flag] = given[flag] || isSet
		}
		if given[flag] && isEmpty(flag.Target) {
			return flag.Name
		}
	}
	return ""
}

func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Slice:
		return value.Len() == 0
	case reflect.String, reflect.Struct:
		return value.IsZero()
	}
	return false
}

// adviceOn is what to do about an answer of Redis that comes of the wrong flags; empty if there is nothing to say.
func adviceOn(err error) string {
	for _, of := range []struct{ answer, advice string }{
		{"cluster support disabled", "this Redis is no cluster; begin --redis with redis://"},
		{"unknown command 'sentinel'", "what --redis names is no Sentinel; begin it with redis:// if it is the Redis itself"},
		{"MOVED ", "this Redis is a cluster; begin --redis with redis-cluster://"},
		{"WRONGPASS", "the user or password in --redis is wrong: redis://user:password@host:port"},
		{"NOAUTH", "this Redis wants a password; put it into --redis: redis://:password@host:port"},
	} {
		if strings.Contains(err.Error(), of.answer) {
			return of.advice
		}
	}
	return ""
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run() error {
	_, err := fmt.Println("berth", version())
	return err
}

// version is the module version that was installed, or the revision that was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
