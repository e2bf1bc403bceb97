package gameserver_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/berthgg/berth/api/gameserver"
)

const uuidPattern = `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`

var (
	uuidExpression        = regexp.MustCompile(`^` + uuidPattern + `$`)
	idempotencyExpression = regexp.MustCompile(`IdempotencyToken=` + uuidPattern)
)

func TestConnectQueryIsTheDialects(t *testing.T) {
	for _, test := range []struct {
		name    string
		dialect gameserver.Dialect
		url     string
		token   string
		want    string
	}{
		{"Go", gameserver.Go, "ws://service/", "tok/en+=1", "/?Authorization=tok%2Fen%2B%3D1&ComputeId=host-1&FleetId=fleet-1&IdempotencyToken=…&pID=proc-1&sdkLanguage=Go&sdkVersion=5.6.0"},
		{"Go drops a query", gameserver.Go, "ws://service/server-sdk?a=b", "tok-1", "/server-sdk?Authorization=tok-1&ComputeId=host-1&FleetId=fleet-1&IdempotencyToken=…&pID=proc-1&sdkLanguage=Go&sdkVersion=5.6.0"},
		{"C++", gameserver.Cpp, "ws://service/server-sdk", "tok/en+=1", "/server-sdk/?Authorization=tok/en+=1&ComputeId=host-1&FleetId=fleet-1&IdempotencyToken=…&pID=proc-1&sdkLanguage=Cpp&sdkVersion=5.4.0"},
		{"C++ with a slash", gameserver.Cpp, "ws://service/", "tok-1", "/?Authorization=tok-1&ComputeId=host-1&FleetId=fleet-1&IdempotencyToken=…&pID=proc-1&sdkLanguage=Cpp&sdkVersion=5.4.0"},
		{"C#", gameserver.CSharp, "ws://service/server-sdk", "tok/en+=1", "/server-sdk?Authorization=tok/en+=1&ComputeId=host-1&FleetId=fleet-1&IdempotencyToken=…&pID=proc-1&sdkLanguage=CSharp&sdkVersion=5.4.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				config := s.config()
				config.URL, config.AuthToken, config.Dialect = test.url, test.token, test.dialect
				_, peer := s.connect(config)
				if got := idempotencyExpression.ReplaceAllString(peer.uri, "IdempotencyToken=…"); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		})
	}
}

func TestSDKNamesItselfAsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		config.SDKLanguage, config.SDKVersion, config.ProcessID = "Rust", "9", ""
		p, peer := s.connect(config)
		if peer.query.Get("sdkLanguage") != "Rust" || peer.query.Get("sdkVersion") != "9" {
			t.Errorf("query %v", peer.query)
		}
		if id := peer.query.Get("pID"); id != p.ID() || !uuidExpression.MatchString(id) {
			t.Errorf("process id %q, on the wire %q; want the same UUID", p.ID(), id)
		}
	})
}

func TestSignatureIsWhatTheServiceComputes(t *testing.T) {
	for _, dialect := range []gameserver.Dialect{gameserver.Go, gameserver.Cpp, gameserver.CSharp} {
		for _, sessionToken := range []string{"", "to/ken+="} {
			t.Run(dialect.String()+" "+sessionToken, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newService(t)
					config := s.config()
					config.Dialect, config.ComputeName = dialect, "task/host-1"
					config.AuthToken = ""
					config.SigV4 = &gameserver.SigV4{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: sessionToken, Region: "us-east-1"}
					_, peer := s.connect(config)

					// As a service would: all from the query, nothing from the package under test.
					query := peer.query
					if query.Get("Authorization") != "SigV4" || query.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" {
						t.Errorf("query %v", query)
					}
					if got := query.Has("X-Amz-Security-Token"); got != (sessionToken != "") {
						t.Errorf("the query has a session token: %v", got)
					}
					if dialect != gameserver.CSharp && query.Get("X-Amz-Security-Token") != sessionToken {
						t.Errorf("session token %q", query.Get("X-Amz-Security-Token"))
					}
					date := time.Now().UTC().Format("20060102T150405Z")
					if query.Get("X-Amz-Date") != date {
						t.Errorf("date %q, want %q", query.Get("X-Amz-Date"), date)
					}
					scope, ok := strings.CutPrefix(query.Get("X-Amz-Credential"), "AKIDEXAMPLE/")
					if want := date[:8] + "/us-east-1/gamelift/aws4_request"; !ok || scope != want {
						t.Errorf("scope %q, want %q", scope, want)
					}
					if encoded := strings.Contains(peer.uri, "X-Amz-Credential=AKIDEXAMPLE%2F"); encoded != (dialect != gameserver.CSharp) {
						t.Errorf("the credential is percent-encoded: %v, in %s", encoded, peer.uri)
					}
					canonical := sha256.Sum256([]byte("ComputeId=task%2Fhost-1&FleetId=fleet-1&pID=proc-1"))
					mac := func(key, text string) string {
						h := hmac.New(sha256.New, []byte(key))
						h.Write([]byte(text))
						return string(h.Sum(nil))
					}
					key := mac(mac(mac(mac("AWS4secret", date[:8]), "us-east-1"), "gamelift"), "aws4_request")
					want := hex.EncodeToString([]byte(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(canonical[:]))))
					if got := query.Get("X-Amz-Signature"); got != want {
						t.Errorf("signature %s, want %s", got, want)
					}
				})
			})
		}
	}
}

func TestConfigSaysWhatIsMissing(t *testing.T) {
	s := &service{t: t}
	for _, test := range []struct {
		change func(*gameserver.Config)
		want   string
	}{
		{func(c *gameserver.Config) { c.FleetID = "" }, "FleetID"},
		{func(c *gameserver.Config) { c.ComputeName = "" }, "ComputeName"},
		{func(c *gameserver.Config) { c.AuthToken = "" }, "exactly one of"},
		{func(c *gameserver.Config) { c.SigV4 = &gameserver.SigV4{} }, "exactly one of"},
		{func(c *gameserver.Config) { c.AuthToken, c.SigV4 = "", &gameserver.SigV4{} }, "AccessKeyID"},
		{func(c *gameserver.Config) { c.URL = "http://service" }, "ws://"},
		{func(c *gameserver.Config) { c.URL = "service" }, "ws://"},
		{func(c *gameserver.Config) { c.URL = "ws://[" }, "cannot be read"},
		{func(c *gameserver.Config) { c.Dialect = 17 }, "Go, Cpp or CSharp"},
	} {
		config := s.config()
		test.change(&config)
		_, err := gameserver.Connect(t.Context(), config)
		fails(t, err, test.want)
	}
}

func TestRefusedConnectionFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.refuses = func(int) int { return http.StatusForbidden }
		_, err := gameserver.Connect(t.Context(), s.config())
		refusal, ok := errors.AsType[*gameserver.Error](err)
		if !ok || *refusal != (gameserver.Error{Action: "Connect", StatusCode: 403, Message: "not you"}) {
			t.Errorf("failed with %v", err)
		}
		if got := s.dials.Load(); got != 1 {
			t.Errorf("%d attempts, want 1", got)
		}
	})
}

func TestUnavailableServiceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.refuses = func(attempt int) int {
			if attempt < 4 {
				return http.StatusServiceUnavailable
			}
			return 0
		}
		config := s.config()
		config.AuthToken = ""
		asked := 0
		config.Token = func(context.Context) (string, error) { asked++; return "fresh", nil }
		config.Backoff = func(failures int) time.Duration { return time.Duration(failures) * time.Second }
		start := time.Now()
		_, peer := s.connect(config)
		if got := time.Since(start); got != 6*time.Second {
			t.Errorf("connected after %v, want 1 s + 2 s + 3 s", got)
		}
		if asked != 4 || peer.query.Get("Authorization") != "fresh" {
			t.Errorf("the token was asked for %d times, and is %q", asked, peer.query.Get("Authorization"))
		}
	})
}

func TestConnectGivesUpAfterItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.down.Store(true)
		config := s.config()
		config.Attempts = 3
		config.AuthToken = "very secret"
		_, err := gameserver.Connect(t.Context(), config)
		fails(t, err, "nobody listens")
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the token is in the error: %v", err)
		}
		if got := s.dials.Load(); got != 3 {
			t.Errorf("%d attempts, want 3", got)
		}
	})
}

func TestConnectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.down.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := gameserver.Connect(ctx, s.config())
		fails(t, err, "nobody listens")
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("gave up after %v", got)
		}
	})
}

func TestTokenThatCannotBeGotFailsTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		config := s.config()
		config.AuthToken, config.Attempts = "", 1
		config.Token = func(context.Context) (string, error) { return "", errors.New("no credentials") }
		_, err := gameserver.Connect(t.Context(), config)
		fails(t, err, "no auth token: no credentials")
	})
}

func TestProcessOutlivesTheContextOfConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		ctx, cancel := context.WithCancel(t.Context())
		config := s.config()
		config.OnProcessTerminate = func(ctx context.Context, p *gameserver.Process, _ time.Time) {
			if err := p.ProcessEnding(ctx); err != nil {
				t.Error(err)
			}
		}
		p, err := gameserver.Connect(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		cancel()
		s.peer().socket.CloseNow()
		peer := s.peer()
		peer.send(`{"Action":"TerminateProcess"}`)
		peer.answer(peer.request("TerminateServerProcess"), nil)
		synctest.Wait()
	})
}

// Over a real network, with TLS, outside of a test's own time.
func TestTLSIsVerifiedUnlessToldOtherwise(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		socket, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.CloseNow()
		socket.Read(r.Context())
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	s := &service{t: t}
	config := s.config()
	config.URL = "wss" + strings.TrimPrefix(server.URL, "https")
	config.DialContext, config.Attempts = nil, 1

	_, err := gameserver.Connect(t.Context(), config)
	fails(t, err, "certificate")

	config.TLS = &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	p, err := gameserver.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}
