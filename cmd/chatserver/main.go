// Command chatserver is a sample game server: a chat room for the players of one game session, who come with nc. "chatserver --help" lists
// its flags.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/berthgg/berth/api/gameserver"
	"github.com/berthgg/berth/cmd/internal/chat"
)

type command struct {
	WebSocketURL string `name:"websocket-url" required:"" placeholder:"URL" env:"GAMELIFT_SDK_WEBSOCKET_URL" help:"GameLiftServiceSdkEndpoint of RegisterCompute."`
	AuthToken    string `required:"" placeholder:"TOKEN" env:"GAMELIFT_SDK_AUTH_TOKEN" help:"AuthToken of GetComputeAuthToken. In the environment it does not show in the list of processes."`
	FleetID      string `name:"fleet-id" required:"" placeholder:"ID" env:"GAMELIFT_SDK_FLEET_ID" help:"The fleet."`
	HostID       string `name:"host-id" required:"" placeholder:"NAME" env:"GAMELIFT_SDK_HOST_ID" help:"The name of the compute on which this runs."`
	ProcessID    string `name:"process-id" placeholder:"ID" env:"GAMELIFT_SDK_PROCESS_ID" help:"Unique among the processes of the compute. By default a random one."`
	SkipVerify   bool   `env:"CHATSERVER_SKIP_VERIFY" help:"Do not verify the certificate of a wss:// URL, such as one of berth serve --tls-self-signed."`
	Addr         string `default:"127.0.0.1:7777" env:"CHATSERVER_ADDR" help:"Where to listen for players. The host is to be that of the compute."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	parsed := kong.Parse(&command{},
		kong.Name("chatserver"),
		kong.Description("A sample game server for Berth: a chat room. Its flags default to the environment variables of the GameLift Server SDK."),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "chatserver:", err)
		os.Exit(1)
	}
}

// whatIsEmpty finds what an unset variable of a shell has left empty.
func (c *command) whatIsEmpty() error {
	switch "" {
	case c.WebSocketURL:
		return errors.New("--websocket-url is empty")
	case c.AuthToken:
		return errors.New("--auth-token is empty; ask GetComputeAuthToken for one")
	case c.FleetID:
		return errors.New("--fleet-id is empty")
	case c.HostID:
		return errors.New("--host-id is empty")
	}
	return nil
}

// Run hosts a game session until ctx ends or the service tells the process to end.
func (c *command) Run(ctx context.Context) error {
	if err := c.whatIsEmpty(); err != nil {
		return err
	}
	listener, err := chat.Listen(c.Addr)
	if err != nil {
		return err
	}
	server, err := chat.Start(ctx, chat.Config{
		Process: gameserver.Config{
			URL: c.WebSocketURL, AuthToken: c.AuthToken, FleetID: c.FleetID, ComputeName: c.HostID, ProcessID: c.ProcessID,
			TLS: &tls.Config{InsecureSkipVerify: c.SkipVerify},
		},
		Listener: listener,
	})
	if err != nil {
		return err
	}
	return server.Wait()
}
