package bench

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/gamelift"
	"github.com/google/go-cmp/cmp"
)

// received is a request as a service sees it.
type received struct {
	path   string
	header http.Header
	input  input
	length int
}

// receiver serves what answer does, and keeps the last request.
func receiver(t *testing.T, answer http.HandlerFunc) (at *url.URL, last *received) {
	t.Helper()
	last = new(received)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p := JSON
		if r.Header.Get("Smithy-Protocol") != "" {
			p = CBOR
		}
		*last = received{path: r.URL.Path, header: r.Header, length: len(body)}
		if err := p.unmarshal(body, &last.input); err != nil {
			t.Error(err)
		}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	at, err := parseBase(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return at, last
}

func connectTo(t *testing.T, at *url.URL, p *Protocol) *connection {
	t.Helper()
	c := newConnection(at, p)
	t.Cleanup(c.close)
	return c
}

func TestCBORRequestsAreThoseOfTheGoSDK(t *testing.T) {
	at, last := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	sdk := gamelift.New(gamelift.Options{
		BaseEndpoint: aws.String(at.String()), Region: "us-east-1", Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDBERTHBENCH", SecretAccessKey: "any"}, nil
		}),
	})
	sdk.CreatePlayerSession(t.Context(), &gamelift.CreatePlayerSessionInput{GameSessionId: aws.String("game"), PlayerId: aws.String("alice")})
	want := *last
	connectTo(t, at, CBOR).do("CreatePlayerSession", &input{GameSessionId: "game", PlayerId: "alice"})
	sameRequest(t, *last, want)
}

// The headers of boto3 1.43.
func TestJSONRequestsAreThoseOfBoto3(t *testing.T) {
	at, last := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	connectTo(t, at, JSON).do("CreatePlayerSession", &input{GameSessionId: "game", PlayerId: "alice"})
	header := http.Header{}
	for _, name := range []string{
		"Accept-Encoding", "X-Amz-Target", "Content-Type", "User-Agent", "X-Amz-Date", "Authorization",
		"Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Content-Length",
	} {
		header.Set(name, "")
	}
	sameRequest(t, *last, received{path: "/", header: header, input: input{GameSessionId: "game", PlayerId: "alice"}, length: last.length})
	if target := last.header.Get("X-Amz-Target"); target != "GameLift.CreatePlayerSession" {
		t.Errorf("the target is %s", target)
	}
}

func sameRequest(t *testing.T, got, want received) {
	t.Helper()
	if got.path != want.path || got.length != want.length {
		t.Errorf("the path is %s and the body has %d bytes, want %s and %d", got.path, got.length, want.path, want.length)
	}
	if diff := cmp.Diff(want.input, got.input); diff != "" {
		t.Errorf("the input differs (-want +got):\n%s", diff)
	}
	names := func(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }
	if diff := cmp.Diff(names(want.header), names(got.header)); diff != "" {
		t.Errorf("the headers differ (-want +got):\n%s", diff)
	}
}

func TestEveryRequestHasItsOwnInvocationID(t *testing.T) {
	at, last := receiver(t, func(http.ResponseWriter, *http.Request) {})
	c := connectTo(t, at, JSON)
	seen := make(map[string]bool)
	for range 3 {
		c.do("CreatePlayerSession", &input{PlayerId: "alice"})
		seen[last.header.Get("Amz-Sdk-Invocation-Id")] = true
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("three requests have the ids %v", seen)
	}
}

func TestWhatIsNoSuccessIsNamed(t *testing.T) {
	for _, p := range []*Protocol{JSON, CBOR} {
		for want, answer := range map[string]http.HandlerFunc{
			succeeded: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") },
			full: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amzn-Errortype", full)
				w.WriteHeader(http.StatusBadRequest)
			},
			"HTTP status 502":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
			"connection closed": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		} {
			at, _ := receiver(t, answer)
			if got, _ := connectTo(t, at, p).do("CreatePlayerSession", &input{}); got != want {
				t.Errorf("over %s the outcome is %q, want %q", p.Name, got, want)
			}
		}
		nowhere, _ := url.Parse("http://127.0.0.1:1")
		if got, _ := connectTo(t, nowhere, p).do("CreatePlayerSession", &input{}); got != "dial: connect: connection refused" {
			t.Errorf("without a service the outcome is %q", got)
		}
	}
}
