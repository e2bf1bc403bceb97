// Command berth serves the Amazon GameLift player-session API from Redis. "berth --help" lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
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
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "berth:", err)
		if errors.Is(err, errBroken) {
			os.Exit(2)
		}
		os.Exit(1)
	}
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
