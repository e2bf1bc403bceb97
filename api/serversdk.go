package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"

	"github.com/berthgg/berth/allocator"
)

// signed is what a game server gives for a token when it has signed its connection.
const signed = "SigV4"

// connectQuery is the query of a connection of a game server, as far as it says who connects.
type connectQuery struct {
	FleetId   string `validate:"required,min=1,max=512,pattern=fleetName"`
	ComputeId string `validate:"required,min=1,max=128,pattern=computeName"`
	PID       string `wire:"pID" validate:"required,min=1,max=1024"`
}

// serverSDK serves GET /server-sdk: the WebSocket of a game server that was built with the GameLift Server SDK. Without a valid token or
// signature the request is refused before it becomes one.
func (h handler) serverSDK(c *gin.Context) {
	process, refusal := h.authenticate(c.Request)
	if refusal != nil {
		c.String(refusal.status, "%s\n", refusal.message)
		return
	}
	socket, err := websocket.Accept(c.Writer, c.Request, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the origin: no browser has a token
	})
	if err != nil { // and it has been told why
		h.log.DebugContext(c.Request.Context(), "no WebSocket for a game server", "error", err)
		return
	}
	go h.gameServers.serve(newGameServer(h, socket, process)) // on a stack of its own: that of the request is deep, and would stay
}

// authenticate finds out which server process connects.
func (h handler) authenticate(r *http.Request) (*allocator.ServerProcessConnection, *exception) {
	id, credential, err := h.credentialOf(r.URL.Query())
	if err != nil {
		return nil, h.turnAway(r, id, err)
	}
	process, err := h.run(r.Context(), func(ctx context.Context) (any, error) {
		return h.allocator.AuthenticateServerProcess(ctx, id, credential)
	})
	if err != nil {
		return nil, h.turnAway(r, id, err)
	}
	return process.(*allocator.ServerProcessConnection), nil
}

// credentialOf reads who connects and with what. A signature is verified.
func (h handler) credentialOf(query url.Values) (allocator.ServerProcessID, allocator.Credential, error) {
	who := connectQuery{query.Get("FleetId"), query.Get("ComputeId"), query.Get("pID")}
	id := allocator.ServerProcessID{FleetID: allocator.FleetID(who.FleetId), ComputeName: who.ComputeId, ProcessID: who.PID}
	if err := validate(&who); err != nil {
		return id, allocator.Credential{}, err
	}
	if !utf8.ValidString(who.PID) {
		return id, allocator.Credential{}, invalid("pID is no UTF-8 text")
	}
	switch token := query.Get("Authorization"); token {
	case signed:
	case "":
		return id, allocator.Credential{}, &allocator.Error{Kind: allocator.ErrUnauthorized, Message: "Authorization is missing or empty; it must be a token of GetComputeAuthToken, or " + signed}
	default:
		return id, allocator.Credential{Token: token}, nil
	}
	signedAt, err := verifySignature(query, h.allocator.Region(), h.accessKeys)
	if err != nil {
		return id, allocator.Credential{}, err
	}
	return id, allocator.Credential{Signature: query.Get("X-Amz-Signature"), SignedAt: signedAt}, nil
}

// turnAway logs why a game server, which says it is id, may not connect, and returns what it is told. The Server SDK looks at the status
// alone.
func (h handler) turnAway(r *http.Request, id allocator.ServerProcessID, err error) *exception {
	told := exceptionOf(err)
	switch {
	case errors.Is(err, allocator.ErrUnauthorized):
		told.status = http.StatusForbidden
	case told.code >= http.StatusInternalServerError:
		told.status = http.StatusServiceUnavailable
	default:
		told.status = told.code
	}
	level := slog.LevelWarn
	if r.Context().Err() != nil { // it has hung up
		level = slog.LevelDebug
	}
	h.log.Log(r.Context(), level, "a game server was not let in",
		"process", allocator.ServerProcessID{
			FleetID:     allocator.FleetID(shortened(string(id.FleetID), 100)),
			ComputeName: shortened(id.ComputeName, 100),
			ProcessID:   shortened(id.ProcessID, 100),
		}, "remote", r.RemoteAddr, "error", err)
	return &told
}
