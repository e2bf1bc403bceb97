package bench

import (
	"fmt"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"
)

// Protocol is a wire protocol, with the headers that an AWS SDK sends over it.
type Protocol struct {
	Name        string
	contentType string
	marshal     func(any) ([]byte, error)
	unmarshal   func([]byte, any) error
	path        func(operation string) string
	headers     func(operation string) [][2]string
}

// The protocols. The headers of JSON are those of boto3, those of CBOR are those of the Go SDK.
var (
	JSON = &Protocol{
		Name:        "json",
		contentType: "application/x-amz-json-1.1",
		marshal:     func(v any) ([]byte, error) { return json.Marshal(v) },
		unmarshal:   func(text []byte, v any) error { return json.Unmarshal(text, v) },
		path:        func(string) string { return "/" },
		headers: func(operation string) [][2]string {
			return append(signature("content-type;host;x-amz-date;x-amz-target"),
				[2]string{"X-Amz-Target", "GameLift." + operation},
				[2]string{"User-Agent", "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.12 md/arch#x86_64 lang/python#3.11.7 md/pyimpl#CPython m/D,b,N,Z,e cfg/retry-mode#legacy Botocore/1.43.11"},
				[2]string{"Amz-Sdk-Request", "attempt=1"},
				[2]string{"Accept-Encoding", "identity"},
			)
		},
	}
	CBOR = &Protocol{
		Name:        "cbor",
		contentType: "application/cbor",
		marshal:     cbor.Marshal,
		unmarshal:   cbor.Unmarshal,
		path:        func(operation string) string { return "/service/GameLift/operation/" + operation },
		headers: func(string) [][2]string {
			return append(signature("accept;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;smithy-protocol;x-amz-date"),
				[2]string{"Smithy-Protocol", "rpc-v2-cbor"},
				[2]string{"Accept", "application/cbor"},
				[2]string{"User-Agent", "aws-sdk-go-v2/1.41.9 ua/2.1 os/linux lang/go#1.26.0 md/GOOS#linux md/GOARCH#amd64 api/gamelift#1.55.0 m/E,e"},
				[2]string{"Amz-Sdk-Request", "attempt=1; max=3"},
				[2]string{"Accept-Encoding", "gzip"},
			)
		},
	}
)

// ProtocolOf returns the protocol of that name.
func ProtocolOf(name string) (*Protocol, error) {
	for _, p := range []*Protocol{JSON, CBOR} {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no protocol %q; it must be json or cbor", name)
}

// signature is of the size that an SDK sends. It signs nothing: a service that does not check signatures is as busy with it.
func signature(signed string) [][2]string {
	now := time.Now().UTC()
	return [][2]string{
		{"X-Amz-Date", now.Format("20060102T150405Z")},
		{"Authorization", "AWS4-HMAC-SHA256 Credential=AKIDBERTHBENCH/" + now.Format("20060102") +
			"/us-east-1/gamelift/aws4_request, SignedHeaders=" + signed + ", Signature=" + strings.Repeat("0", 64)},
	}
}

// input has the members of the inputs of all operations that scenarios call.
type input struct {
	GameSessionId    string   `json:",omitzero"`
	PlayerId         string   `json:",omitzero"`
	PlayerIds        []string `json:",omitzero"`
	PlayerSessionId  string   `json:",omitzero"`
	FleetId          string   `json:",omitzero"`
	FilterExpression string   `json:",omitzero"`
	SortExpression   string   `json:",omitzero"`
}
