package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/berthgg/berth/allocator"
)

// exception is an error on the wire: the name of the service model's exception, the status, the status code for game servers, and a
// message for the caller.
type exception struct {
	name    string
	status  int
	code    int
	message string
}

// Error returns the message.
func (e exception) Error() string { return e.message }

// exceptions maps the kinds of failure to the service model's exceptions and the Server SDK's status codes. Clients retry on status 500, with the same
// invocation id, which is safe.
var exceptions = map[allocator.Kind]exception{
	allocator.ErrInvalidRequest:              {name: "InvalidRequestException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrUnauthorized:                {name: "UnauthorizedException", status: http.StatusBadRequest, code: http.StatusUnauthorized},
	allocator.ErrNotFound:                    {name: "NotFoundException", status: http.StatusBadRequest, code: http.StatusNotFound},
	allocator.ErrConflict:                    {name: "ConflictException", status: http.StatusBadRequest, code: http.StatusConflict},
	allocator.ErrIdempotentParameterMismatch: {name: "IdempotentParameterMismatchException", status: http.StatusBadRequest, code: http.StatusConflict},
	allocator.ErrGameSessionFull:             {name: "GameSessionFullException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrInvalidGameSessionStatus:    {name: "InvalidGameSessionStatusException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrInvalidPlayerSessionStatus:  {name: "InvalidRequestException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrInvalidFleetStatus:          {name: "InvalidFleetStatusException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrLimitExceeded:               {name: "LimitExceededException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrTerminalRoutingStrategy:     {name: "TerminalRoutingStrategyException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrFleetCapacityExceeded:       {name: "FleetCapacityExceededException", status: http.StatusBadRequest, code: http.StatusBadRequest},
	allocator.ErrStoreUnavailable:            {name: "InternalServiceException", status: http.StatusInternalServerError, code: http.StatusInternalServerError},
	allocator.ErrOutcomeUnknown:              {name: "InternalServiceException", status: http.StatusInternalServerError, code: http.StatusInternalServerError},
	allocator.ErrInternal:                    {name: "InternalServiceException", status: http.StatusInternalServerError, code: http.StatusInternalServerError},
}

// exceptionOf returns what a caller sees of an error. Causes stay in the log.
func exceptionOf(err error) exception {
	var ready exception
	if errors.As(err, &ready) {
		return ready
	}
	var failure *allocator.Error
	if !errors.As(err, &failure) {
		return exception{"InternalServiceException", http.StatusInternalServerError, http.StatusInternalServerError, "an unforeseen error; the service's log has it under this request id"}
	}
	e, known := exceptions[failure.Kind]
	if !known {
		e = exceptions[allocator.ErrInternal]
	}
	e.message = failure.Message
	return e
}

// unknownOperation is the exception for an operation that is not in the table.
func unknownOperation(name string) exception {
	return exception{"UnknownOperationException", http.StatusNotFound, http.StatusNotFound, "Berth has no operation " + quoted(name) + "; the README lists those that it serves"}
}

// turnedAway is the exception for a call that is one too many. SDKs slow down and retry.
func turnedAway(waiting int) exception {
	return exception{"ThrottlingException", http.StatusBadRequest, http.StatusTooManyRequests, fmt.Sprintf("%d calls wait for the store already, as many as may (--max-waiting); nothing was changed, retry later", waiting)}
}

// refused is the exception for a request that is no call of an operation.
func refused(status int, message string) exception {
	return exception{"InvalidRequestException", status, status, message}
}

// quoted quotes what a client sent for a message, short enough for one.
func quoted(text string) string { return `"` + shortened(text, 100) + `"` }

// shortened returns at most so many characters of a text, and a sign where it was cut.
func shortened(text string, most int) string {
	if len(text) <= most { // as bytes, so surely as characters
		return text
	}
	characters := 0
	for i := range text {
		if characters == most {
			return text[:i] + "…"
		}
		characters++
	}
	return text
}
