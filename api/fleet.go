package api

import (
	"context"
	"slices"

	"github.com/berthgg/berth/allocator"
)

type tag struct {
	Key   *string `validate:"required,min=1,max=128"`
	Value *string `validate:"required,max=256"`
}

// refuseTags fails when there are tags: Berth keeps none, and drops nothing silently.
func refuseTags(tags []tag) error {
	if len(tags) > 0 {
		return invalid("Tags has %d members; Berth keeps no tags, leave them out", len(tags))
	}
	return nil
}

type createLocationInput struct {
	LocationName *string `validate:"required,min=8,max=64,pattern=customLocation"`
	Tags         []tag   `validate:"max=200,dive"`
}

type createLocationOutput struct{ Location locationModel }

type locationModel struct {
	LocationName string
	LocationArn  string
}

func createLocation(ctx context.Context, a *allocator.Allocator, in *createLocationInput, retryToken string) (*createLocationOutput, error) {
	if err := refuseTags(in.Tags); err != nil {
		return nil, err
	}
	location, err := a.CreateLocation(ctx, allocator.CreateLocationInput{Name: *in.LocationName, RetryToken: retryToken})
	if err != nil {
		return nil, err
	}
	return &createLocationOutput{locationModel{location.Name, location.ARN}}, nil
}

type createFleetInput struct {
	Name                           *string                      `validate:"required,min=1,max=1024"`
	Description                    *string                      `validate:"omitnil,min=1,max=1024"`
	ComputeType                    *string                      `validate:"omitnil,oneof=EC2 ANYWHERE"`
	Locations                      []locationConfiguration      `validate:"omitnil,min=1,max=100,dive"`
	AnywhereConfiguration          *anywhereConfiguration       `validate:"omitnil"`
	NewGameSessionProtectionPolicy *string                      `validate:"omitnil,oneof=NoProtection FullProtection"`
	ResourceCreationLimitPolicy    *resourceCreationLimitPolicy `validate:"omitnil"`
	MetricGroups                   []string                     `validate:"max=1,dive,min=1,max=255"`
	PlayerGatewayMode              *string                      `validate:"omitnil,oneof=DISABLED ENABLED REQUIRED"`
	Tags                           []tag                        `validate:"max=200,dive"`

	// Members of fleets whose machines the service runs.
	BuildId                         any
	CertificateConfiguration        any
	EC2InboundPermissions           any
	EC2InstanceType                 any
	FleetType                       any
	InstanceRoleArn                 any
	InstanceRoleCredentialsProvider any
	LogPaths                        any
	PeerVpcAwsAccountId             any
	PeerVpcId                       any
	PlayerGatewayConfiguration      any
	RuntimeConfiguration            any
	ScriptId                        any
	ServerLaunchParameters          any
	ServerLaunchPath                any
}

type locationConfiguration struct {
	Location *string `validate:"required,min=1,max=64,pattern=location"`
}

type anywhereConfiguration struct {
	Cost *string `validate:"required,min=1,max=11,pattern=cost"`
}

type resourceCreationLimitPolicy struct {
	NewGameSessionsPerCreator *int `validate:"omitnil,min=0"`
	PolicyPeriodInMinutes     *int `validate:"omitnil,min=0"`
}

type createFleetOutput struct {
	FleetAttributes fleetAttributes
	LocationStates  []locationState
}

type fleetAttributes struct {
	FleetId                        string
	FleetArn                       string
	Name                           string
	Description                    string `json:",omitzero"`
	CreationTime                   timestamp
	Status                         string
	ComputeType                    string
	NewGameSessionProtectionPolicy string
	AnywhereConfiguration          *anywhereConfiguration       `json:",omitzero"`
	ResourceCreationLimitPolicy    *resourceCreationLimitPolicy `json:",omitzero"`
	MetricGroups                   []string                     `json:",omitzero"`
	PlayerGatewayMode              string
}

type locationState struct {
	Location            string
	Status              string
	PlayerGatewayStatus string
}

func createFleet(ctx context.Context, a *allocator.Allocator, in *createFleetInput, retryToken string) (*createFleetOutput, error) {
	if err := in.refuseManaged(); err != nil {
		return nil, err
	}
	if err := refuseTags(in.Tags); err != nil {
		return nil, err
	}
	create := allocator.CreateFleetInput{
		Name:             *in.Name,
		Description:      value(in.Description),
		ProtectionPolicy: allocator.ProtectionPolicy(value(in.NewGameSessionProtectionPolicy)),
		MetricGroups:     in.MetricGroups,
		RetryToken:       retryToken,
	}
	for _, location := range in.Locations {
		create.Locations = append(create.Locations, *location.Location)
	}
	if in.AnywhereConfiguration != nil {
		create.Cost = *in.AnywhereConfiguration.Cost
	}
	if policy := in.ResourceCreationLimitPolicy; policy != nil {
		create.CreationLimit = allocator.CreationLimit{
			GameSessionsPerCreator: value(policy.NewGameSessionsPerCreator),
			PeriodMinutes:          value(policy.PolicyPeriodInMinutes),
		}
	}
	fleet, err := a.CreateFleet(ctx, create)
	if err != nil {
		return nil, err
	}
	out := &createFleetOutput{FleetAttributes: fleetShape(*fleet)}
	for _, location := range fleet.Locations {
		out.LocationStates = append(out.LocationStates, locationState{location, "ACTIVE", "DISABLED"})
	}
	return out, nil
}

// refuseManaged fails when the input asks for a fleet whose machines the service would run.
func (in *createFleetInput) refuseManaged() error {
	if value(in.ComputeType) != "ANYWHERE" {
		return invalid("ComputeType is not ANYWHERE; Berth runs no machines, so it has Anywhere fleets only: set ComputeType to ANYWHERE and register your own computes")
	}
	if mode := value(in.PlayerGatewayMode); mode != "" && mode != "DISABLED" {
		return invalid("PlayerGatewayMode is %s; Berth has no player gateway, leave it out", mode)
	}
	managed := map[string]any{
		"BuildId": in.BuildId, "CertificateConfiguration": in.CertificateConfiguration,
		"EC2InboundPermissions": in.EC2InboundPermissions, "EC2InstanceType": in.EC2InstanceType, "FleetType": in.FleetType,
		"InstanceRoleArn": in.InstanceRoleArn, "InstanceRoleCredentialsProvider": in.InstanceRoleCredentialsProvider,
		"LogPaths": in.LogPaths, "PeerVpcAwsAccountId": in.PeerVpcAwsAccountId, "PeerVpcId": in.PeerVpcId,
		"PlayerGatewayConfiguration": in.PlayerGatewayConfiguration, "RuntimeConfiguration": in.RuntimeConfiguration,
		"ScriptId": in.ScriptId, "ServerLaunchParameters": in.ServerLaunchParameters, "ServerLaunchPath": in.ServerLaunchPath,
	}
	var given []string
	for member, value := range managed {
		if value != nil {
			given = append(given, member)
		}
	}
	if len(given) > 0 {
		slices.Sort(given)
		return invalid("%s is of no use to an Anywhere fleet, whose computes you run yourself; leave it out", given[0])
	}
	return nil
}

func fleetShape(f allocator.Fleet) fleetAttributes {
	shape := fleetAttributes{
		FleetId:                        string(f.ID),
		FleetArn:                       f.ARN,
		Name:                           f.Name,
		Description:                    f.Description,
		CreationTime:                   timestamp(f.CreationTime),
		Status:                         "ACTIVE",
		ComputeType:                    "ANYWHERE",
		NewGameSessionProtectionPolicy: string(f.ProtectionPolicy),
		MetricGroups:                   f.MetricGroups,
		PlayerGatewayMode:              "DISABLED",
	}
	if f.Cost != "" {
		shape.AnywhereConfiguration = &anywhereConfiguration{&f.Cost}
	}
	if limit := f.CreationLimit; limit != (allocator.CreationLimit{}) {
		shape.ResourceCreationLimitPolicy = &resourceCreationLimitPolicy{&limit.GameSessionsPerCreator, &limit.PeriodMinutes}
	}
	return shape
}

type registerComputeInput struct {
	FleetId         *string `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	ComputeName     *string `validate:"required,min=1,max=128,pattern=computeName"`
	CertificatePath *string `validate:"omitnil,min=1,max=1024"`
	DnsName         *string `validate:"omitnil,min=1,max=256,pattern=dnsName"`
	IpAddress       *string `validate:"omitnil,min=1,max=128,pattern=ipAddress"`
	Location        *string `validate:"omitnil,min=1,max=64,pattern=location"`
}

type registerComputeOutput struct{ Compute compute }

type compute struct {
	FleetId       string
	FleetArn      string
	ComputeName   string
	ComputeArn    string
	IpAddress     string `json:",omitzero"`
	DnsName       string `json:",omitzero"`
	ComputeStatus string
	Location      string
	CreationTime  timestamp
}

func registerCompute(ctx context.Context, a *allocator.Allocator, in *registerComputeInput, _ string) (*registerComputeOutput, error) {
	c, err := a.RegisterCompute(ctx, allocator.RegisterComputeInput{
		FleetID:         allocator.FleetID(*in.FleetId),
		Name:            *in.ComputeName,
		Location:        value(in.Location),
		IPAddress:       value(in.IpAddress),
		DNSName:         value(in.DnsName),
		CertificatePath: value(in.CertificatePath),
	})
	if err != nil {
		return nil, err
	}
	return &registerComputeOutput{compute{
		FleetId:       string(c.FleetID),
		FleetArn:      c.FleetARN,
		ComputeName:   c.Name,
		ComputeArn:    c.ARN,
		IpAddress:     c.IPAddress,
		DnsName:       c.DNSName,
		ComputeStatus: "ACTIVE",
		Location:      c.Location,
		CreationTime:  timestamp(c.CreationTime),
	}}, nil
}
