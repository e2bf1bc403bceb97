package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// FuzzGameServerFrame sends the service what a game server might: messages, or bytes that need not be any. Each message is answered as
// the protocol has it or ends its connection, and nobody else notices.
func FuzzGameServerFrame(f *testing.F) {
	const text, binary, loose = 0, 1, 2
	for _, frame := range wholeRun {
		if sent, ok := strings.CutPrefix(frame, "<- "); ok {
			f.Add(text, []byte(sent))
		}
	}
	f.Add(binary, []byte(`{"Action":"TerminateServerProcess","RequestId":"1"}`))
	f.Add(text, []byte(`{"Action":"DescribePlayerSessions","RequestId":"1","GameSessionId":null,"PlayerId":"p","PlayerSessionId":"","Limit":null,"NextToken":""}`))
	f.Add(text, []byte(`{"Action":"AcceptPlayerSession","RequestId":"\ud800","GameSessionId":[]}`))
	f.Add(loose, []byte("\x81\x85\x00\x00\x00\x00hello"))                    // a masked text frame
	f.Add(loose, []byte("\x01\x80\x00\x00\x00\x00\x80\x80\x00\x00\x00\x00")) // one in two fragments
	f.Add(loose, []byte("\x89\xff\x7f\xff\xff\xff\xff\xff\xff\xff"))         // a ping of 2^63 bytes
	f.Add(loose, []byte("\x88\x82\x00\x00\x00\x00\x03\xe8"))                 // a close frame

	s := newService(f)
	i := s.newInstance()
	bystander := i.start("bystander")
	game := i.host(bystander)
	player := s.reserve(game)
	bystander.must("AcceptPlayerSession", bystander.AcceptPlayerSession(f.Context(), game, player))
	token := s.token()
	f.Fuzz(func(t *testing.T, kind int, frame []byte) {
		var wire net.Conn
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			wire, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return wire, err
		}}}
		query := url.Values{"pID": {"fuzzer"}, "ComputeId": {"box"}, "FleetId": {s.fleet}, "Authorization": {token}}
		socket, _, err := websocket.Dial(t.Context(), i.url+"?"+query.Encode(), &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.CloseNow()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if kind == loose {
			_, _ = wire.Write(frame)
			wire.Close()
		} else {
			_ = socket.Write(ctx, map[bool]websocket.MessageType{true: websocket.MessageBinary, false: websocket.MessageText}[kind == binary], frame)
			_, answer, err := socket.Read(ctx)
			for err == nil && !bytes.Contains(answer, []byte(`"StatusCode"`)) { // what the process is told meanwhile
				_, answer, err = socket.Read(ctx)
			}
			switch {
			case err == nil:
				wantAnswer(t, frame, answer)
			case ctx.Err() != nil:
				t.Errorf("%q is not answered", frame)
			default:
				if status := websocket.CloseStatus(err); status == websocket.StatusNormalClosure || status == websocket.StatusGoingAway {
					t.Errorf("after %q the connection was closed with %v", frame, status)
				}
			}
		}
		got := awsJSON.must(t, s, "DescribePlayerSessions", members{"GameSessionId": game}).object("PlayerSessions", 0)
		if got["Status"] != `"ACTIVE"` {
			t.Errorf("after %q the player of another process is %s", frame, got["Status"])
		}
	})
}

// wantAnswer fails unless a frame answers another as Server SDKs need it.
func wantAnswer(t *testing.T, frame, answer []byte) {
	t.Helper()
	var asked struct{ Action, RequestId string }
	var got struct {
		Action, RequestId string
		StatusCode        int
		ErrorMessage      *string
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Errorf("%q is answered with %q", frame, answer)
		return
	}
	_ = json.Unmarshal(frame, &asked) // which knows other rules for text that is no Unicode
	if got.Action != asked.Action || got.RequestId != asked.RequestId || got.StatusCode < http.StatusOK || got.StatusCode >= http.StatusInternalServerError || (got.StatusCode == http.StatusOK) != (got.ErrorMessage == nil) {
		t.Errorf("%q is answered with %q", frame, answer)
	}
}
