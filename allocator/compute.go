package allocator

import (
	"context"
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
// It fails with ErrInvalidRequest, also when the fleet is not there, or with ErrConflict when the fleet has a compute of that
// name with another address, location or certificate.
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
	}, in.Name, in.Location, in.IPAddress, in.DNSName, in.CertificatePath)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return &Compute{
			Name:            in.Name,
			ARN:             a.arn("compute/" + in.Name),
			FleetID:         fleet,
			FleetARN:        a.arn("fleet/" + string(fleet)),
			Location:        in.Location,
			IPAddress:       in.IPAddress,
			DNSName:         in.DNSName,
			CertificatePath: in.CertificatePath,
			CreationTime:    timeOf(reply.int(1)),
		}, nil
	case "FLEET_NOT_FOUND":
		return nil, failure(ErrInvalidRequest, "there is no fleet %s; give the id of a fleet that CreateFleet made", in.FleetID)
	case "LOCATION_NOT_FOUND":
		return nil, failure(ErrInvalidRequest, "Location %s is not a location of fleet %s", in.Location, fleet)
	case "EXISTS":
		return nil, failure(ErrConflict, "fleet %s has a compute %s with another address, location or certificate; choose another name", fleet, in.Name)
	}
	return nil, registerComputeScript.unexpected(reply)
}
