package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// dialTimeout is how long making a connection may take, and requestTimeout how long a request may before it counts as unanswered.
const (
	dialTimeout    = 5 * time.Second
	requestTimeout = 30 * time.Second
)

// connection is a keep-alive connection to a service, over which one request is in flight at a time. It costs a fraction of
// what net/http's client does, so that what is measured is the service.
type connection struct {
	host     *fasthttp.HostClient
	base     string
	protocol *Protocol
	requests map[string]*fasthttp.Request // by operation, with headers that stay
	reply    fasthttp.Response
}

// newConnection returns a connection that is made with its first request.
func newConnection(base *url.URL, protocol *Protocol) *connection {
	secure := base.Scheme == "https"
	return &connection{
		host: &fasthttp.HostClient{
			Addr:                     fasthttp.AddMissingPort(base.Host, secure),
			IsTLS:                    secure,
			TLSConfig:                &tls.Config{ServerName: base.Hostname()},
			Dial:                     func(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, dialTimeout) },
			MaxConns:                 1,
			MaxIdleConnDuration:      time.Minute,
			ReadTimeout:              requestTimeout,
			WriteTimeout:             requestTimeout,
			NoDefaultUserAgentHeader: true,
			RetryIfErr:               func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
		},
		base:     base.Scheme + "://" + base.Host,
		protocol: protocol,
		requests: make(map[string]*fasthttp.Request),
	}
}

// parseBase reads the address of a service.
func parseBase(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.Path != "" && base.Path != "/" {
		return nil, fmt.Errorf("%q is no address of a service, such as http://127.0.0.1:8080", text)
	}
	return base, nil
}

// do makes a request, and returns its outcome. The reply's body is there until the next one.
func (c *connection) do(operation string, in any) (outcome string, body []byte) {
	text, err := c.protocol.marshal(in)
	if err != nil {
		panic(err) // every input is ours, and can be written
	}
	request := c.request(operation)
	request.Header.Set("Amz-Sdk-Invocation-Id", uuid.NewString())
	request.SetBodyRaw(text)
	if err := c.host.Do(request, &c.reply); err != nil {
		return unanswered(err), nil
	}
	if status := c.reply.StatusCode(); status != fasthttp.StatusOK {
		if name := c.reply.Header.Peek("X-Amzn-Errortype"); len(name) > 0 {
			return string(name), c.reply.Body()
		}
		return "HTTP status " + strconv.Itoa(status), c.reply.Body()
	}
	return succeeded, c.reply.Body()
}

// unanswered names what kept a request from its answer, in few enough words that outcomes can be counted by them.
func unanswered(err error) string {
	var network net.Error
	switch {
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &network) && network.Timeout():
		return "timed out"
	case errors.Is(err, fasthttp.ErrConnectionClosed):
		return "connection closed"
	}
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Op + ": " + operation.Err.Error()
	}
	return err.Error()
}

func (c *connection) request(operation string) *fasthttp.Request {
	if request := c.requests[operation]; request != nil {
		return request
	}
	request := &fasthttp.Request{}
	request.SetRequestURI(c.base + c.protocol.path(operation))
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.SetContentType(c.protocol.contentType)
	for _, header := range c.protocol.headers(operation) {
		request.Header.Set(header[0], header[1])
	}
	c.requests[operation] = request
	return request
}

// close ends the connection.
func (c *connection) close() { c.host.CloseIdleConnections() }
