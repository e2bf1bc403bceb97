package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

type readyCommand struct {
	Addr    string        `default:"127.0.0.1:8080" help:"Where the service listens."`
	Timeout time.Duration `default:"2s" help:"How long to wait for its answer."`
}

// Run fails unless the service answers that it is ready.
func (r *readyCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Addr+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", r.Addr, response.Status, strings.TrimSpace(string(answer)))
	}
	fmt.Print(string(answer))
	return nil
}
