package api_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/api"
)

func publicURL(t *testing.T, text string) (public api.PublicURL) {
	t.Helper()
	if err := public.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return public
}

func TestComputesSayWhereGameServersConnect(t *testing.T) {
	for _, c := range []struct {
		publicURL string
		host      string // that a request names
		tls       bool
		want      string // empty: the member is left out
	}{
		{"", "berth.internal:8080", false, "ws://berth.internal:8080/server-sdk"},
		{"", "berth.internal", true, "wss://berth.internal/server-sdk"},
		{"", "[::1]:8080", true, "wss://[::1]:8080/server-sdk"},
		{"", "", false, ""},
		{"", strings.Repeat("h", 112), false, "ws://" + strings.Repeat("h", 112) + "/server-sdk"},
		{"", strings.Repeat("h", 113), false, ""},
		{"", "\xff", false, "ws://%FF/server-sdk"},
		{"http://games.example.com:8080", "berth.internal", true, "ws://games.example.com:8080/server-sdk"},
		{"https://games.example.com", "berth.internal", false, "wss://games.example.com/server-sdk"},
		{"https://games.example.com/", "", false, "wss://games.example.com/server-sdk"},
		{"https://example.com/games/eu/", "berth.internal", false, "wss://example.com/games/eu/server-sdk"},
		{"HTTPS://example.com/a%20b", "berth.internal", false, "wss://example.com/a%20b/server-sdk"},
	} {
		eachWire(t, func(t *testing.T, w wire) {
			s := newService(t)
			a, err := allocator.Open(t.Context(), allocator.Config{Redis: s.store.Client(), Quotas: quotas})
			if err != nil {
				t.Fatal(err)
			}
			handler := api.New(api.Config{Allocator: a, PublicURL: publicURL(t, c.publicURL)})
			reached := http.HandlerFunc(func(reply http.ResponseWriter, request *http.Request) {
				request.Host = c.host
				if request.TLS = nil; c.tls {
					request.TLS = &tls.ConnectionState{}
				}
				handler.ServeHTTP(reply, request)
			})
			for operation, path := range map[string][]any{
				"RegisterCompute": {"Compute"}, "DescribeCompute": {"Compute"}, "ListCompute": {"ComputeList", 0},
			} {
				r := w.must(t, reached, operation, s.validInput(operation))
				if c.want == "" {
					if got, ok := r.object(path...)["GameLiftServiceSdkEndpoint"]; ok {
						t.Errorf("%+v: %s says %q", c, operation, got)
					}
				} else if got := r.text(append(path, "GameLiftServiceSdkEndpoint")...); got != c.want {
					t.Errorf("%+v: %s says %q", c, operation, got)
				}
			}
		})
	}
}

func TestPublicURLIsRefusedUnlessClientsCanReachIt(t *testing.T) {
	for text, want := range map[string]string{
		"games.example.com":                                    "must be http:// or https:// and a host",
		"games.example.com:8080":                               "must be http:// or https:// and a host",
		"ftp://games.example.com":                              "must be http:// or https:// and a host",
		"wss://games.example.com":                              "must be http:// or https:// and a host",
		"https://":                                             "must be http:// or https:// and a host",
		"https://:8443":                                        "must be http:// or https:// and a host",
		"https://games.example.com:port":                       "must be http:// or https:// and a host",
		"https://bücher.example":                               "must be ASCII",
		"https://alice:hunter2@games.example.com":              "must have no user, query or fragment",
		"https://games.example.com:99999":                      "between 1 and 65535",
		"https://games.example.com:0":                          "between 1 and 65535",
		"https://games.example.com?":                           "must have no user, query or fragment",
		"https://games.example.com/?a=b":                       "must have no user, query or fragment",
		"https://games.example.com/#a":                         "must have no user, query or fragment",
		"https://games.example.com/" + strings.Repeat("a", 94): "at most 128 characters",
	} {
		public := publicURL(t, "http://before.example")
		if err := public.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if public != (api.PublicURL{}) {
			t.Errorf("%q: refused, it is %+v", text, public)
		}
	}
	if longest := publicURL(t, "https://games.example.com/"+strings.Repeat("a", 93)); longest.Hostname() != "games.example.com" {
		t.Errorf("its host is %q", longest.Hostname())
	}
}
