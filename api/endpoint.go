package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// PublicURL is where clients reach a service, such as https://games.example.com. The zero value is wherever they did.
type PublicURL struct{ url url.URL }

// maxEndpoint is how many characters the service model lets an endpoint have.
const maxEndpoint = 128

// UnmarshalText reads an http or https URL with a host. It may have a path, under which the service is. Empty text is the zero value.
func (p *PublicURL) UnmarshalText(text []byte) error {
	*p = PublicURL{}
	if len(text) == 0 {
		return nil
	}
	read, err := url.Parse(string(text))
	if err != nil || read.Scheme != "http" && read.Scheme != "https" || read.Hostname() == "" {
		return errors.New("it must be http:// or https:// and a host, such as https://games.example.com")
	}
	if port := read.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("its port must be between 1 and 65535")
		}
	}
	if read.User != nil || read.RawQuery != "" || read.ForceQuery || read.Fragment != "" {
		return errors.New("it must have no user, query or fragment; only a scheme, a host, and perhaps a port and a path")
	}
	if strings.ContainsFunc(read.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return errors.New("its host must be ASCII; write an international name as xn--…")
	}
	public := PublicURL{*read}
	if public.serverSDK() == "" {
		return errors.New("it is too long: with /server-sdk, what game servers are told must have at most 128 characters")
	}
	*p = public
	return nil
}

// IsTLS tells whether it is https, by which game servers are told wss.
func (p PublicURL) IsTLS() bool { return p.url.Scheme == "https" }

// Hostname returns the host without its port, or nothing of the zero value.
func (p PublicURL) Hostname() string { return p.url.Hostname() }

// reachedBy returns where a client reached the service that got its request.
func reachedBy(r *http.Request) PublicURL {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return PublicURL{url.URL{Scheme: scheme, Host: r.Host}}
}

// serverSDK returns the endpoint of the WebSocket for game servers. There is none of a host that is not known, or too long.
func (p PublicURL) serverSDK() string {
	endpoint := p.url
	endpoint.Scheme = map[string]string{"http": "ws", "https": "wss"}[p.url.Scheme]
	text := endpoint.JoinPath("server-sdk").String()
	if endpoint.Host == "" || len(text) > maxEndpoint {
		return ""
	}
	return text
}
