package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/berthgg/berth/allocator"
)

// maxBody is how many bytes a request may have. The largest valid input, GameSessionData of 262,144 characters, fits even
// with each of them written in 12 bytes as a pair of escapes.
const maxBody = 4 << 20

// binding is a wire protocol: how inputs and outputs are written.
type binding struct {
	contentType string
	headers     map[string]string // of every response, beside the content type
	decode      func([]byte, any) error
	encode      func(any) ([]byte, error)
}

// awsJSON is AWS JSON 1.1. Members are matched by their exact names, unknown ones are ignored, null is not set.
var awsJSON = binding{
	contentType: "application/x-amz-json-1.1",
	decode:      func(body []byte, input any) error { return json.Unmarshal(body, input) },
	encode:      func(output any) ([]byte, error) { return json.Marshal(output) },
}

// rpcCBOR is Smithy RPC v2 CBOR, with the same rules for members.
var rpcCBOR = binding{
	contentType: "application/cbor",
	headers:     map[string]string{smithyProtocol: rpcV2CBOR},
	decode:      cborDecoder.Unmarshal,
	encode:      cborEncoder.Marshal,
}

const (
	smithyProtocol = "Smithy-Protocol"
	rpcV2CBOR      = "rpc-v2-cbor"
)

var cborDecoder = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxNestedLevels:   16,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

var cborEncoder = func() cbor.EncMode {
	mode, err := cbor.EncOptions{}.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// bindingOf returns the binding in which a client of any path expects its answer.
func bindingOf(c *gin.Context) binding {
	if c.GetHeader(smithyProtocol) == rpcV2CBOR {
		return rpcCBOR
	}
	return awsJSON
}

// handler serves calls of operations over any binding.
type handler struct {
	allocator    *allocator.Allocator
	publicURL    PublicURL
	accessKeys   map[string]string
	timeout      time.Duration
	waiting      chan struct{} // has an element for each call that waits for the store
	gameServers  *gameServers
	pingTimeout  time.Duration
	givenUpAfter time.Duration
	outages      *outages
	log          *slog.Logger
}

// json serves POST /.
func (h handler) json(c *gin.Context) {
	target := c.GetHeader("X-Amz-Target")
	name, ok := strings.CutPrefix(target, "GameLift.")
	switch {
	case ok:
		h.call(c, awsJSON, name)
	case target == "":
		awsJSON.fail(c, refused(http.StatusBadRequest, "the header X-Amz-Target is missing; set it to GameLift.<operation>"))
	default:
		awsJSON.fail(c, unknownOperation(target))
	}
}

// cbor serves POST /service/GameLift/operation/<Op>.
func (h handler) cbor(c *gin.Context) {
	if protocol := c.GetHeader(smithyProtocol); protocol != rpcV2CBOR {
		rpcCBOR.fail(c, refused(http.StatusBadRequest, "the header Smithy-Protocol is "+quoted(protocol)+"; it must be "+rpcV2CBOR))
		return
	}
	h.call(c, rpcCBOR, c.Param("operation"))
}

// call runs the operation of that name with the input in the body.
func (h handler) call(c *gin.Context, b binding, name string) {
	op, known := operations[name]
	if !known {
		b.fail(c, unknownOperation(name))
		return
	}
	input := op.newInput()
	if refusal := b.read(c, input); refusal != nil {
		b.fail(c, *refusal)
		return
	}
	err := validate(input)
	var output any
	if err == nil {
		output, err = h.run(c.Request.Context(), func(ctx context.Context) (any, error) {
			return op.run(ctx, h.allocator, input, h.callerOf(c.Request))
		})
	}
	if err != nil {
		h.report(c.Request.Context(), name, c.Writer.Header().Get(requestID), err)
		b.fail(c, exceptionOf(err))
		return
	}
	body, err := b.encode(output)
	if err != nil {
		h.report(c.Request.Context(), name, c.Writer.Header().Get(requestID), err)
		b.fail(c, exceptionOf(err))
		return
	}
	b.write(c, http.StatusOK, body)
}

// run does what asks the store, for as long as it may take. While too many wait for the store it fails with an exception.
func (h handler) run(ctx context.Context, do func(context.Context) (any, error)) (any, error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, turnedAway(cap(h.waiting))
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	return do(ctx)
}

func (h handler) callerOf(r *http.Request) caller {
	by := caller{retryToken: retryToken(r.Header), reached: h.publicURL}
	if by.reached.url.Host == "" {
		by.reached = reachedBy(r)
	}
	return by
}

// retryToken returns what names the call in each of its retries: what the AWS SDKs send, or what others may.
func retryToken(header http.Header) string {
	if key := header.Get("Idempotency-Key"); key != "" { // somebody set it with intent; SDKs set theirs always
		return key
	}
	return header.Get("Amz-Sdk-Invocation-Id")
}

// report logs what a caller is not told of an error.
func (h handler) report(ctx context.Context, operation, request string, err error) {
	level, failures := slog.LevelDebug, 1
	switch {
	case errors.Is(err, allocator.ErrStoreUnavailable), errors.Is(err, allocator.ErrOutcomeUnknown):
		if n, due := h.outages.count(time.Now()); due {
			level, failures = slog.LevelError, n
		}
	case exceptionOf(err).status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	h.log.Log(ctx, level, "operation failed", "operation", operation, "request_id", request, "failures", failures, "error", err)
}

// outageInterval is how often it is logged that requests fail because the store is unavailable. Thousands a second may.
const outageInterval = 10 * time.Second

// outages counts requests that fail because the store is unavailable.
type outages struct {
	mu     sync.Mutex
	failed int // since it was logged
	logged time.Time
}

// count counts one more, and returns how many there were since this was logged if it is to be logged again.
func (o *outages) count(now time.Time) (failed int, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.logged) >= 2*outageInterval { // those were of another outage
		o.failed = 0
	}
	o.failed++
	if now.Sub(o.logged) < outageInterval {
		return 0, false
	}
	failed, o.failed, o.logged = o.failed, 0, now
	return failed, true
}

// read decodes the body of a request. An empty body sets no member.
func (b binding) read(c *gin.Context, input any) *exception {
	refuse := func(status int, message string) *exception {
		e := refused(status, message)
		return &e
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return refuse(http.StatusRequestEntityTooLarge, "the body is larger than 4 MiB, which no valid input is")
		}
		return refuse(http.StatusBadRequest, "the body could not be read to its end")
	}
	if len(body) == 0 {
		return nil
	}
	contentType := c.GetHeader("Content-Type")
	if mediaType, _, err := mime.ParseMediaType(contentType); err != nil || mediaType != b.contentType {
		return refuse(http.StatusUnsupportedMediaType, "the Content-Type is "+quoted(contentType)+"; it must be "+b.contentType)
	}
	if err := b.decode(body, input); err != nil {
		return refuse(http.StatusBadRequest, "the body is not a valid input: "+undecodable(err))
	}
	return nil
}

// maxMessage is how many characters a message may have. What a client sent is quoted in it, and could be as large as a body.
const maxMessage = 4096

// undecodable says what is wrong with a body, in the client's terms.
func undecodable(err error) string {
	var inJSON *json.SemanticError
	if errors.As(err, &inJSON) {
		kind := strings.NewReplacer("{", "object", "[", "array").Replace(inJSON.JSONKind.String())
		if inJSON.JSONKind == '0' && inJSON.GoType != nil && reflect.Zero(inJSON.GoType).CanConvert(reflect.TypeFor[float64]()) {
			kind = "number that is not whole or out of range"
		}
		return misfit(strings.TrimPrefix(string(inJSON.JSONPointer), "/"), "JSON "+kind)
	}
	var inCBOR *cbor.UnmarshalTypeError
	if errors.As(err, &inCBOR) {
		kind := strings.Replace(inCBOR.CBORType, "primitives", "floating-point number or simple value", 1)
		return misfit(memberAt(inCBOR.StructFieldName), "CBOR "+kind)
	}
	return shortened(err.Error(), maxMessage)
}

// misfit says that a member, or the input as a whole, is of the wrong type.
func misfit(member, kind string) string {
	if member == "" {
		return "it cannot be a " + kind
	}
	return member + " cannot be a " + kind
}

// sayable is a message that can be sent: it may quote a client, who may have sent anything.
func sayable(message string) string {
	return strings.ToValidUTF8(shortened(message, maxMessage), "�")
}

// errorBody is the shape of every exception. JSON clients look for Message or message, CBOR clients for either by exception.
type errorBody struct {
	Type    string `json:"__type"`
	Message string
	Lower   string `json:"message"`
}

// fail answers with an exception.
func (b binding) fail(c *gin.Context, e exception) {
	message := sayable(e.message)
	body, _ := b.encode(errorBody{e.name, message, message}) // valid text cannot fail
	c.Header("X-Amzn-Errortype", e.name)
	b.write(c, e.status, body)
}

func (b binding) write(c *gin.Context, status int, body []byte) {
	for name, text := range b.headers {
		c.Header(name, text)
	}
	c.Data(status, b.contentType, body)
}

// requestID is the header that names a request in its response and in the log.
const requestID = "X-Amzn-Requestid"

func nameRequest(c *gin.Context) { c.Header(requestID, uuid.NewString()) }
