package api_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

// wire is a protocol as a client has it: how a call is written and a reply read. It shares nothing with package api but
// the CBOR library.
type wire struct {
	name        string
	contentType string
	request     func(operation string, body []byte) *http.Request
	encode      func(any) ([]byte, error)
	decode      func([]byte, any) error
	// object and list take apart what was encoded, and leave its members encoded.
	object func(raw string) (map[string]string, error)
	list   func(raw string) ([]string, error)
	// timestamp is how a point in time must be encoded, to the byte.
	timestamp func(time.Time) string
}

var awsJSON = wire{
	name:        "AWS JSON 1.1",
	contentType: "application/x-amz-json-1.1",
	request: func(operation string, body []byte) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "GameLift."+operation)
		return r
	},
	encode: json.Marshal,
	decode: json.Unmarshal,
	object: func(raw string) (map[string]string, error) {
		var members map[string]json.RawMessage
		err := json.Unmarshal([]byte(raw), &members)
		return textOfEach(members), err
	},
	list: func(raw string) ([]string, error) {
		var members []json.RawMessage
		err := json.Unmarshal([]byte(raw), &members)
		return textOfAll(members), err
	},
	timestamp: func(t time.Time) string { return fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6) },
}

var rpcCBOR = wire{
	name:        "RPC v2 CBOR",
	contentType: "application/cbor",
	request: func(operation string, body []byte) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.URL.Path = "/service/GameLift/operation/" + operation
		r.Header.Set("Content-Type", "application/cbor")
		r.Header.Set("Accept", "application/cbor")
		r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		return r
	},
	encode: cbor.Marshal,
	decode: cbor.Unmarshal,
	object: func(raw string) (map[string]string, error) {
		var members map[string]cbor.RawMessage
		err := cbor.Unmarshal([]byte(raw), &members)
		return textOfEach(members), err
	},
	list: func(raw string) ([]string, error) {
		var members []cbor.RawMessage
		err := cbor.Unmarshal([]byte(raw), &members)
		return textOfAll(members), err
	},
	timestamp: func(t time.Time) string { // tag 1, then a double
		seconds := float64(t.UnixMilli()) / 1000
		return string(binary.BigEndian.AppendUint64([]byte{0xc1, 0xfb}, math.Float64bits(seconds)))
	},
}

var wires = []wire{awsJSON, rpcCBOR}

func eachWire(t *testing.T, f func(t *testing.T, w wire)) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) { f(t, w) })
	}
}

func textOfEach[Raw ~[]byte](members map[string]Raw) map[string]string {
	texts := make(map[string]string, len(members))
	for name, raw := range members {
		texts[name] = string(raw)
	}
	return texts
}

func textOfAll[Raw ~[]byte](members []Raw) []string {
	texts := make([]string, len(members))
	for i, raw := range members {
		texts[i] = string(raw)
	}
	return texts
}

// members is an input or output shape: the values of the members that are set, by name.
type members map[string]any

// call calls an operation. Headers may be added, names and values in turn.
func (w wire) call(t testing.TB, h http.Handler, operation string, input any, headers ...string) reply {
	t.Helper()
	body, err := w.encode(input)
	if err != nil {
		t.Fatal(err)
	}
	return w.send(t, h, w.request(operation, body), headers...)
}

// must calls an operation that has to succeed.
func (w wire) must(t testing.TB, h http.Handler, operation string, input any, headers ...string) reply {
	t.Helper()
	r := w.call(t, h, operation, input, headers...)
	if r.status != http.StatusOK {
		t.Fatalf("%s: %d %s", operation, r.status, r.body)
	}
	return r
}

// send sends any request, to which the reply is expected in this protocol.
func (w wire) send(t testing.TB, h http.Handler, request *http.Request, headers ...string) reply {
	t.Helper()
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return reply{w, t, recorder.Code, recorder.Result().Header, recorder.Body.String()}
}

// reply is what came back.
type reply struct {
	wire   wire
	t      testing.TB
	status int
	header http.Header
	body   string
}

// at returns the member of the body at a path such as "PlayerSessions", 0, "PlayerId", as it is encoded.
func (r reply) at(path ...any) string {
	r.t.Helper()
	raw := r.body
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, err := r.wire.object(raw)
			if err != nil {
				r.t.Fatalf("%q is no map: %v", raw, err)
			}
			if _, ok := object[step]; !ok {
				r.t.Fatalf("%q has no %s", raw, step)
			}
			raw = object[step]
		case int:
			list, err := r.wire.list(raw)
			if err != nil {
				r.t.Fatalf("%q is no list: %v", raw, err)
			}
			if step >= len(list) {
				r.t.Fatalf("%q has no member %d", raw, step)
			}
			raw = list[step]
		}
	}
	return raw
}

// object returns the members of what is at a path.
func (r reply) object(path ...any) map[string]string {
	r.t.Helper()
	object, err := r.wire.object(r.at(path...))
	if err != nil {
		r.t.Fatal(err)
	}
	return object
}

// value returns what is at a path, decoded without any type in mind.
func (r reply) value(path ...any) (value any) {
	r.t.Helper()
	if err := r.wire.decode([]byte(r.at(path...)), &value); err != nil {
		r.t.Fatal(err)
	}
	return value
}

// text returns the string that is at a path.
func (r reply) text(path ...any) string {
	r.t.Helper()
	text, ok := r.value(path...).(string)
	if !ok {
		r.t.Fatalf("%v of %q is no string", path, r.body)
	}
	return text
}

// number returns the integer that is at a path.
func (r reply) number(path ...any) (number int) {
	r.t.Helper()
	if err := r.wire.decode([]byte(r.at(path...)), &number); err != nil {
		r.t.Fatal(err)
	}
	return number
}

// diff compares the shape at a path with what it should be: points in time to the byte, all else by value.
func (r reply) diff(want members, path ...any) string {
	r.t.Helper()
	wanted, got := make(map[string]any), make(map[string]any)
	for name, value := range want {
		if point, ok := value.(time.Time); ok {
			wanted[name] = fmt.Sprintf("%q", r.wire.timestamp(point))
			continue
		}
		raw, err := r.wire.encode(value)
		if err != nil {
			r.t.Fatal(err)
		}
		var plain any
		if err := r.wire.decode(raw, &plain); err != nil {
			r.t.Fatal(err)
		}
		wanted[name] = plain
	}
	for name, raw := range r.object(path...) {
		if _, ok := want[name].(time.Time); ok {
			got[name] = fmt.Sprintf("%q", raw)
			continue
		}
		got[name] = r.value(append(slices.Clone(path), name)...)
	}
	return cmp.Diff(wanted, got)
}
