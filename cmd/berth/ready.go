package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

type readyCommand struct {
	Addr    string        `default:"127.0.0.1:8080" help:"Where the service listens."`
	TLS     bool          `help:"Ask a service that serves TLS. Its certificate is not verified: it is one's own service, mostly at an address that is not in it."`
	Timeout time.Duration `default:"2s" help:"How long to wait for its answer."`
}

// Run fails unless the service answers that it is ready.
func (r *readyCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	addr, err := dialable(r.Addr)
	if err != nil {
		return fmt.Errorf("--addr is %q; it must be host:port", r.Addr)
	}
	scheme := "http://"
	if r.TLS {
		scheme = "https://"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+addr+"/readyz", nil)
	if err != nil {
		return err
	}
	direct := &http.Client{Transport: &http.Transport{ // a proxy that the environment names is not asked
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	response, err := direct.Do(request)
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

// dialable returns an address at which a listener on addr answers: of one on all addresses, the loopback address.
func dialable(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
