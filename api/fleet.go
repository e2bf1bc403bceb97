package api

import (
	"context"
	"slices"

	"github.com/berthgg/berth/allocator"
)

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
	CertificateConfiguration        *certificateConfiguration `validate:"omitnil"`
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
	NewGameSessionsPerCreator *int `validate:"omitnil,min=0,max=2147483647"`
	PolicyPeriodInMinutes     *int `validate:"omitnil,min=0,max=2147483647"`
}

type certificateConfiguration struct {
	CertificateType *string `validate:"required,oneof=DISABLED GENERATED"`
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

func createFleet(ctx context.Context, a *allocator.Allocator, in *createFleetInput, by caller) (*createFleetOutput, error) {
	if err := in.refuseManaged(); err != nil {
		return nil, err
	}
	create := allocator.CreateFleetInput{
		Name:             *in.Name,
		Description:      value(in.Description),
		ProtectionPolicy: allocator.ProtectionPolicy(value(in.NewGameSessionProtectionPolicy)),
		MetricGroups:     in.MetricGroups,
		Tags:             tagsOf(in.Tags),
		RetryToken:       by.retryToken,
	}
	create.Locations = locationNames(in.Locations)
	if in.AnywhereConfiguration != nil {
		create.Cost = *in.AnywhereConfiguration.Cost
	}
	create.CreationLimit = in.ResourceCreationLimitPolicy.limit()
	fleet, err := a.CreateFleet(ctx, create)
	if err != nil {
		return nil, err
	}
	return &createFleetOutput{fleetShape(*fleet), locationStates(create.Locations)}, nil
}

func locationNames(locations []locationConfiguration) []string {
	return shapes(locations, func(l locationConfiguration) string { return *l.Location })
}

func locationStates(locations []string) []locationState {
	return shapes(locations, func(location string) locationState { return locationState{location, "ACTIVE", "DISABLED"} })
}

func (p *resourceCreationLimitPolicy) limit() allocator.CreationLimit {
	if p == nil {
		return allocator.CreationLimit{}
	}
	return allocator.CreationLimit{
		GameSessionsPerCreator: value(p.NewGameSessionsPerCreator), PeriodMinutes: value(p.PolicyPeriodInMinutes),
	}
}

// refuseManaged fails when the input asks for a fleet whose machines the service would run.
func (in *createFleetInput) refuseManaged() error {
	if value(in.ComputeType) != "ANYWHERE" {
		return invalid("ComputeType is not ANYWHERE; Berth runs no machines, so it has Anywhere fleets only: set ComputeType to ANYWHERE and register your own computes")
	}
	if in.CertificateConfiguration != nil && value(in.CertificateConfiguration.CertificateType) != "DISABLED" {
		return invalid("CertificateConfiguration.CertificateType is GENERATED; Berth makes no certificates, give your computes their own and leave it out")
	}
	if mode := value(in.PlayerGatewayMode); mode != "" && mode != "DISABLED" {
		return invalid("PlayerGatewayMode is %s; Berth has no player gateway, leave it out", mode)
	}
	managed := map[string]any{
		"BuildId":               in.BuildId,
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
		Status:                         string(f.Status),
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

type pageInput struct {
	Limit     *int    `validate:"omitnil,min=1"`
	NextToken *string `validate:"omitnil,min=1,max=1024"`
}

type listFleetsInput struct {
	BuildId  *string `validate:"omitnil,pattern=buildIdOrArn"` // no fleet here has a build or a script
	ScriptId *string `validate:"omitnil,pattern=scriptIdOrArn"`
	pageInput
}

type listFleetsOutput struct {
	FleetIds  []string
	NextToken string `json:",omitzero"`
}

func listFleets(ctx context.Context, a *allocator.Allocator, in *listFleetsInput, _ caller) (*listFleetsOutput, error) {
	ids, next, err := a.ListFleets(ctx, value(in.Limit), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	if in.BuildId != nil || in.ScriptId != nil {
		return &listFleetsOutput{FleetIds: []string{}}, nil
	}
	return &listFleetsOutput{shapes(ids, func(id allocator.FleetID) string { return string(id) }), next}, nil
}

type describeFleetsInput struct {
	FleetIds []string `validate:"omitnil,min=1,dive,min=1,max=512,pattern=fleetIdOrArn"`
	pageInput
}

func (in *describeFleetsInput) ids() []allocator.FleetID {
	return shapes(in.FleetIds, func(id string) allocator.FleetID { return allocator.FleetID(id) })
}

type describeFleetAttributesOutput struct {
	FleetAttributes []fleetAttributes
	NextToken       string `json:",omitzero"`
}

func describeFleetAttributes(ctx context.Context, a *allocator.Allocator, in *describeFleetsInput, _ caller) (*describeFleetAttributesOutput, error) {
	fleets, next, err := a.DescribeFleets(ctx, in.ids(), value(in.Limit), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	return &describeFleetAttributesOutput{shapes(fleets, fleetShape), next}, nil
}

type fleetUtilization struct {
	FleetId                   string
	FleetArn                  string
	ActiveServerProcessCount  int
	ActiveGameSessionCount    int
	CurrentPlayerSessionCount int
	MaximumPlayerSessionCount int
}

type describeFleetUtilizationOutput struct {
	FleetUtilization []fleetUtilization
	NextToken        string `json:",omitzero"`
}

func describeFleetUtilization(ctx context.Context, a *allocator.Allocator, in *describeFleetsInput, _ caller) (*describeFleetUtilizationOutput, error) {
	utilizations, next, err := a.DescribeFleetUtilization(ctx, in.ids(), value(in.Limit), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	return &describeFleetUtilizationOutput{shapes(utilizations, func(u allocator.FleetUtilization) fleetUtilization {
		return fleetUtilization{
			FleetId:                   string(u.FleetID),
			FleetArn:                  u.FleetARN,
			ActiveServerProcessCount:  u.ActiveServerProcessCount,
			ActiveGameSessionCount:    u.ActiveGameSessionCount,
			CurrentPlayerSessionCount: u.CurrentPlayerSessionCount,
			MaximumPlayerSessionCount: u.MaximumPlayerSessionCount,
		}
	}), next}, nil
}

type updateFleetAttributesInput struct {
	FleetId                        *string                      `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	Name                           *string                      `validate:"omitnil,min=1,max=1024"`
	Description                    *string                      `validate:"omitnil,min=1,max=1024"`
	NewGameSessionProtectionPolicy *string                      `validate:"omitnil,oneof=NoProtection FullProtection"`
	ResourceCreationLimitPolicy    *resourceCreationLimitPolicy `validate:"omitnil"`
	MetricGroups                   []string                     `validate:"max=1,dive,min=1,max=255"`
	AnywhereConfiguration          *anywhereConfiguration       `validate:"omitnil"`
}

type fleetOutput struct {
	FleetId  string
	FleetArn string
}

func updateFleetAttributes(ctx context.Context, a *allocator.Allocator, in *updateFleetAttributesInput, _ caller) (*fleetOutput, error) {
	update := allocator.UpdateFleetAttributesInput{
		FleetID:          allocator.FleetID(*in.FleetId),
		Name:             in.Name,
		Description:      in.Description,
		ProtectionPolicy: (*allocator.ProtectionPolicy)(in.NewGameSessionProtectionPolicy),
		MetricGroups:     in.MetricGroups,
	}
	if in.AnywhereConfiguration != nil {
		update.Cost = in.AnywhereConfiguration.Cost
	}
	if policy := in.ResourceCreationLimitPolicy; policy != nil {
		update.GameSessionsPerCreator, update.PeriodMinutes = policy.NewGameSessionsPerCreator, policy.PolicyPeriodInMinutes
	}
	if err := a.UpdateFleetAttributes(ctx, update); err != nil {
		return nil, err
	}
	id, arn := a.FleetName(update.FleetID)
	return &fleetOutput{string(id), arn}, nil
}

type fleetInput struct {
	FleetId *string `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
}

// nothing is the output of operations that have none.
type nothing struct{}

func deleteFleet(ctx context.Context, a *allocator.Allocator, in *fleetInput, _ caller) (*nothing, error) {
	return &nothing{}, a.DeleteFleet(ctx, allocator.FleetID(*in.FleetId))
}

type fleetLocationsOutput struct {
	FleetId        string
	FleetArn       string
	LocationStates []locationState
}

type createFleetLocationsInput struct {
	FleetId   *string                 `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	Locations []locationConfiguration `validate:"required,min=1,max=100,dive"`
}

func createFleetLocations(ctx context.Context, a *allocator.Allocator, in *createFleetLocationsInput, _ caller) (*fleetLocationsOutput, error) {
	locations := locationNames(in.Locations)
	if err := a.CreateFleetLocations(ctx, allocator.FleetID(*in.FleetId), locations); err != nil {
		return nil, err
	}
	id, arn := a.FleetName(allocator.FleetID(*in.FleetId))
	return &fleetLocationsOutput{string(id), arn, locationStates(locations)}, nil
}

type deleteFleetLocationsInput struct {
	FleetId   *string  `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	Locations []string `validate:"required,min=1,max=100,dive,min=1,max=64,pattern=location"`
}

func deleteFleetLocations(ctx context.Context, a *allocator.Allocator, in *deleteFleetLocationsInput, _ caller) (*fleetLocationsOutput, error) {
	if err := a.DeleteFleetLocations(ctx, allocator.FleetID(*in.FleetId), in.Locations); err != nil {
		return nil, err
	}
	id, arn := a.FleetName(allocator.FleetID(*in.FleetId))
	states := shapes(in.Locations, func(location string) locationState { return locationState{location, "DELETING", "DISABLED"} })
	return &fleetLocationsOutput{string(id), arn, states}, nil
}

type describeFleetLocationAttributesInput struct {
	FleetId   *string  `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	Locations []string `validate:"omitnil,min=1,max=100,dive,min=1,max=64,pattern=location"`
	pageInput
}

type locationAttributes struct{ LocationState locationState }

type describeFleetLocationAttributesOutput struct {
	FleetId            string
	FleetArn           string
	LocationAttributes []locationAttributes
	NextToken          string `json:",omitzero"`
}

func describeFleetLocationAttributes(ctx context.Context, a *allocator.Allocator, in *describeFleetLocationAttributesInput, _ caller) (*describeFleetLocationAttributesOutput, error) {
	locations, next, err := a.FleetLocations(ctx, allocator.FleetID(*in.FleetId), in.Locations, value(in.Limit), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	id, arn := a.FleetName(allocator.FleetID(*in.FleetId))
	attributes := shapes(locationStates(locations), func(state locationState) locationAttributes { return locationAttributes{state} })
	return &describeFleetLocationAttributesOutput{string(id), arn, attributes, next}, nil
}
