package gameserver

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// Dialect is whose habits a process has on the wire. The SDKs speak one protocol, each with an accent; a service that is tested with all
// of them knows its clients. A dialect changes no TLS setting.
type Dialect int

// The dialects.
const (
	// Go is the way of the Go SDK, and the one to use unless a service is under test.
	Go Dialect = iota
	// Cpp is the way of the C++ SDK: a slash at the end of the path, a query that is not percent-encoded but for a signature,
	// RequestIds of 32 letters and digits, no member that is unset, names of members told apart by case, an unanswered request sent
	// up to five times more, a close frame 1001 at the end, and no return after a close frame 1000 or 1001 of the service.
	Cpp
	// CSharp is the way of the C# SDK: a query that is not percent-encoded, null for what is unset, a Limit of 50 in
	// DescribePlayerSessions unless another is given, a ping answered before anything is sent, deaf to what has an empty RequestId,
	// and no return after a close frame 1000 or 1001 of the service.
	CSharp
)

// String names the dialect as sdkLanguage does.
func (d Dialect) String() string { return d.accent().language }

// An accent is all that tells one dialect from another.
type accent struct {
	language, version string // sdkLanguage and sdkVersion unless configured
	unencodedQuery    bool
	encodesSignature  bool // the values that SigV4 adds, even so
	trailingSlash     bool
	hexRequestIDs     bool
	writesEmpty       bool // for texts of a backfill that are unset
	writesNull        bool // for unset members
	omitsNull         bool // even for lists and maps, which Go writes as null
	caseSensitive     bool
	emptyIDIsID       bool // "RequestId":"" makes no push
	pingsBeforeSend   bool
	resends           int
	describeLimit     int // of DescribePlayerSessions unless given
	obeysClose        bool
	saysGoodbye       bool
}

var accents = [...]accent{
	Go: {language: "Go", version: "5.6.0", writesEmpty: true},
	Cpp: {
		language: "Cpp", version: "5.4.0", unencodedQuery: true, encodesSignature: true, trailingSlash: true, hexRequestIDs: true, omitsNull: true,
		caseSensitive: true, resends: 5, obeysClose: true, saysGoodbye: true,
	},
	CSharp: {
		language: "CSharp", version: "5.4.0", unencodedQuery: true, writesNull: true, emptyIDIsID: true, pingsBeforeSend: true,
		describeLimit: 50, obeysClose: true,
	},
}

func (d Dialect) known() bool { return d >= 0 && int(d) < len(accents) }

func (d Dialect) accent() accent {
	if !d.known() {
		return accent{language: "unknown"}
	}
	return accents[d]
}

func (a accent) requestID() string {
	id := uuid.NewString()
	if a.hexRequestIDs {
		id = strings.ReplaceAll(id, "-", "")
	}
	return id
}

// text is the value of a text in a backfill.
func (a accent) text(text string) any {
	if a.writesEmpty {
		return text
	}
	return given(text)
}

// object encodes members in their order.
func (a accent) object(members []Member) ([]byte, error) {
	encoded := []byte{'{'}
	for _, member := range members {
		value, err := a.value(member.Value)
		if err != nil {
			return nil, err
		}
		if string(value) == "null" && (a.omitsNull || member.Value == nil && !a.writesNull) {
			continue
		}
		name, err := json.Marshal(member.Name)
		if err != nil {
			return nil, err
		}
		if len(encoded) > 1 {
			encoded = append(encoded, ',')
		}
		encoded = append(append(append(encoded, name...), ':'), value...)
	}
	return append(encoded, '}'), nil
}

func (a accent) value(value any) ([]byte, error) {
	switch value := value.(type) {
	case []Member:
		return a.object(value)
	case [][]Member:
		if value == nil {
			return []byte("null"), nil
		}
		encoded := []byte{'['}
		for i, members := range value {
			object, err := a.object(members)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				encoded = append(encoded, ',')
			}
			encoded = append(encoded, object...)
		}
		return append(encoded, ']'), nil
	}
	return json.Marshal(value, json.Deterministic(true), json.FormatNilSliceAsNull(true), json.FormatNilMapAsNull(true))
}

func (a accent) decode(frame []byte, into any) error {
	return json.Unmarshal(frame, into, json.MatchCaseInsensitiveNames(!a.caseSensitive))
}
