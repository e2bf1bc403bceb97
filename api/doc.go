// Package api serves the operations of package allocator over HTTP, as Amazon GameLift's clients speak it.
//
// All operations stand in one table, [Operations] by name. A binding is a way to call them:
//
//	POST /                                  AWS JSON 1.1; the header X-Amz-Target names the operation
//	POST /service/GameLift/operation/<Op>   Smithy RPC v2 CBOR
//	GET /server-sdk                         the WebSocket of a game server, in the protocol of the GameLift Server SDK 5
//
// A binding decodes the input shape of the operation, checks it against the constraints of the published service model, runs
// the operation, and encodes the output shape or the exception. What the operation does is the allocator's business.
//
// Beside them: GET /healthz answers while the process lives, GET /readyz while it can serve.
package api
