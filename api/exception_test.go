package api

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/berthgg/berth/allocator"
)

// kinds reads the kinds of failure from the source of package allocator, since a package cannot list its own constants.
func kinds(t *testing.T) (all []allocator.Kind) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../allocator/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Err") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, allocator.Kind(text))
		return true
	})
	if len(all) < 14 {
		t.Fatalf("found only the kinds %q", all)
	}
	return all
}

func TestEveryKindOfFailureHasAnException(t *testing.T) {
	modelled := map[string]int{
		"ConflictException":                    http.StatusBadRequest,
		"FleetCapacityExceededException":       http.StatusBadRequest,
		"GameSessionFullException":             http.StatusBadRequest,
		"IdempotentParameterMismatchException": http.StatusBadRequest,
		"InvalidFleetStatusException":          http.StatusBadRequest,
		"LimitExceededException":               http.StatusBadRequest,
		"TerminalRoutingStrategyException":     http.StatusBadRequest,
		"InternalServiceException":             http.StatusInternalServerError,
		"InvalidGameSessionStatusException":    http.StatusBadRequest,
		"InvalidRequestException":              http.StatusBadRequest,
		"NotFoundException":                    http.StatusBadRequest,
		"UnauthorizedException":                http.StatusBadRequest,
	}
	for _, kind := range kinds(t) {
		if _, mapped := exceptions[kind]; !mapped {
			t.Errorf("no exception is mapped to %q", kind)
			continue
		}
		got := exceptionOf(&allocator.Error{Kind: kind, Message: "for the caller", Cause: errors.New("for the log")})
		if status, ok := modelled[got.name]; !ok || got.status != status {
			t.Errorf("%q is %s with status %d, want an exception of the service model with its status", kind, got.name, got.status)
		}
		if got.message != "for the caller" {
			t.Errorf("%q says %q, want what is for the caller and no more", kind, got.message)
		}
	}
}

func TestUnforeseenErrorTellsTheCallerNothing(t *testing.T) {
	for _, err := range []error{errors.New("for the log"), &allocator.Error{Kind: "unheard of", Message: "for the caller"}} {
		got := exceptionOf(err)
		if got.name != "InternalServiceException" || got.status != http.StatusInternalServerError || strings.Contains(got.message, "log)") {
			t.Errorf("%v is %+v", err, got)
		}
	}
}
