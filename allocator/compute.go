package allocator

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// Compute is a machine of the operator's that hosts game sessions of a fleet.
type Compute struct {
	Name            string
	ARN             string
	FleetID         FleetID
	FleetARN        string
	Location        string
	IPAddress       string
	DNSName         string
	CertificatePath string
	CreationTime    time.Time
}

// RegisterComputeInput says what compute to add to which fleet.
type RegisterComputeInput struct {
	FleetID         FleetID // id or ARN
	Name            string
	Location        string // one of the fleet's
	IPAddress       string // this or DNSName, or both
	DNSName         string
	CertificatePath string // optional
}

// RegisterCompute adds a compute to a fleet. Registering it again in the same way changes nothing.
//
// It fails with ErrInvalidRequest, also when the fleet is not there, ErrConflict when the fleet has a compute of that
// name with another address, location or certificate, or ErrLimitExceeded.
func (a *Allocator) RegisterCompute(ctx context.Context, in RegisterComputeInput) (*Compute, error) {
	switch {
	case in.Name == "":
		return nil, failure(ErrInvalidRequest, "ComputeName is empty; give the compute a name")
	case in.Location == "":
		return nil, failure(ErrInvalidRequest, "Location is missing; name the fleet's location where the compute stands")
	case in.IPAddress == "" && in.DNSName == "":
		return nil, failure(ErrInvalidRequest, "IpAddress and DnsName are both missing; give at least one")
	}
	fleet := a.fleetID(in.FleetID)
	reply, err := a.run(ctx, registerComputeScript, []string{
		fleetKey(fleet), fleetLocationsKey(fleet), computeKey(fleet, in.Name), computesKey(fleet, ""), computesKey(fleet, in.Location),
	}, in.Name, in.Location, in.IPAddress, in.DNSName, in.CertificatePath, a.quotas.ComputesPerFleet)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return a.compute(fleet, in.Name, record{
			"location": in.Location, "ip": in.IPAddress, "dns": in.DNSName, "certificate": in.CertificatePath, "created": reply.text(1),
		}), nil
	case "FLEET_NOT_FOUND":
		return nil, failure(ErrInvalidRequest, "there is no fleet %s; give the id of a fleet that CreateFleet made", in.FleetID)
	case "LOCATION_NOT_FOUND":
		return nil, failure(ErrInvalidRequest, "Location %s is not a location of fleet %s", in.Location, fleet)
	case "NOT_ACTIVE":
		return nil, failure(ErrInvalidRequest, "fleet %s is %s and takes no computes", fleet, reply.text(1))
	case "LIMIT":
		return nil, quotaReached(a.quotas.ComputesPerFleet, "computes in the fleet", "--max-computes-per-fleet")
	case "EXISTS":
		return nil, failure(ErrConflict, "fleet %s has a compute %s with another address, location or certificate; choose another name, or deregister that one first with DeregisterCompute", fleet, in.Name)
	}
	return nil, registerComputeScript.unexpected(reply)
}

// DescribeCompute reads a compute, given by its name or ARN. It costs one command, and fails with ErrNotFound.
func (a *Allocator) DescribeCompute(ctx context.Context, fleetIDOrARN FleetID, nameOrARN string) (*Compute, error) {
	fleet, name := a.fleetID(fleetIDOrARN), a.computeName(nameOrARN)
	stored, err := a.redis.HGetAll(ctx, computeKey(fleet, name)).Result()
	if err != nil {
		return nil, a.failed(err, 0)
	}
	if len(stored) == 0 {
		return nil, computeNotFound(fleetIDOrARN, nameOrARN)
	}
	return a.compute(fleet, name, stored), nil
}

// ListCompute reads a fleet's computes, those at a location if one is given, oldest first, and the token of the next page. It
// costs two round trips, and fails with ErrInvalidRequest, also when the fleet is not there.
func (a *Allocator) ListCompute(ctx context.Context, fleetIDOrARN FleetID, location string, limit int, token string) ([]Compute, string, error) {
	fleet := a.fleetID(fleetIDOrARN)
	if exists, err := a.exists(ctx, fleetKey(fleet)); err != nil || !exists {
		return nil, "", cmp.Or(err, error(failure(ErrInvalidRequest, "there is no fleet %s", fleetIDOrARN)))
	}
	read := func(ctx context.Context, names []ref) ([]Compute, error) {
		return readNamed(ctx, a, names, func(name string) string { return computeKey(fleet, name) }, func(name string, stored record) Compute {
			return *a.compute(fleet, name, stored)
		})
	}
	return page(ctx, a, pageRequest{limit: limit, token: token, scope: []string{"ListCompute", string(fleet), location}},
		a.names(computesKey(fleet, location)), readRefs(read), nil)
}

// DeregisterCompute takes a compute from its fleet. Game sessions that run on it go on; its server processes without one are told to end. It
// fails with ErrNotFound.
func (a *Allocator) DeregisterCompute(ctx context.Context, fleetIDOrARN FleetID, nameOrARN string) error {
	for {
		compute, err := a.DescribeCompute(ctx, fleetIDOrARN, nameOrARN)
		if err != nil {
			return err
		}
		fleet := compute.FleetID
		reply, err := a.runDeletion(ctx, deregisterComputeScript, []string{
			computeKey(fleet, compute.Name), computesKey(fleet, ""), computesKey(fleet, compute.Location), computeAuthTokensKey(fleet, compute.Name),
		}, compute.Name, compute.Location)
		if err != nil {
			return err
		}
		switch reply.text(0) {
		case "OK":
			a.logged(ctx, "having the server processes of a deregistered compute end", "they are told when they are reviewed", a.reviewFleetProcesses(ctx, fleet))
			return nil
		case "COMPUTE_NOT_FOUND":
			return computeNotFound(fleetIDOrARN, nameOrARN)
		case "MOVED": // it was deregistered and registered elsewhere just now
		default:
			return deregisterComputeScript.unexpected(reply)
		}
	}
}

// computeAuthTokenLife is how long a token lets game servers connect.
const computeAuthTokenLife = 3 * time.Hour

// ComputeAuthToken lets game servers on a compute connect.
type ComputeAuthToken struct {
	Compute        Compute
	Token          string // 48 characters beyond guessing
	ExpirationTime time.Time
}

// GetComputeAuthToken makes a token for a compute, given by its name or ARN. The store keeps its hash alone. It fails with
// ErrNotFound.
func (a *Allocator) GetComputeAuthToken(ctx context.Context, fleetIDOrARN FleetID, nameOrARN string) (*ComputeAuthToken, error) {
	compute, err := a.DescribeCompute(ctx, fleetIDOrARN, nameOrARN)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 24)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	token := hex.EncodeToString(secret)
	reply, err := a.run(ctx, getComputeAuthTokenScript,
		[]string{computeKey(compute.FleetID, compute.Name), computeAuthTokensKey(compute.FleetID, compute.Name)},
		hashOfToken(token), computeAuthTokenLife.Milliseconds())
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return &ComputeAuthToken{*compute, token, timeOf(reply.int(1))}, nil
	case "COMPUTE_NOT_FOUND":
		return nil, computeNotFound(fleetIDOrARN, nameOrARN)
	}
	return nil, getComputeAuthTokenScript.unexpected(reply)
}

func hashOfToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (a *Allocator) compute(fleet FleetID, name string, stored record) *Compute {
	return &Compute{
		Name:            name,
		ARN:             a.arn("compute/" + name),
		FleetID:         fleet,
		FleetARN:        a.arn("fleet/" + string(fleet)),
		Location:        stored["location"],
		IPAddress:       stored["ip"],
		DNSName:         stored["dns"],
		CertificatePath: stored["certificate"],
		CreationTime:    stored.time("created"),
	}
}

func (c Compute) cursor() cursor { return cursor{c.CreationTime.UnixMilli(), c.Name} }

func (a *Allocator) computeName(nameOrARN string) string {
	return strings.TrimPrefix(nameOrARN, a.arn("compute/"))
}

func computeNotFound(fleet FleetID, name string) error {
	return failure(ErrNotFound, "fleet %s has no compute %s", fleet, name)
}
