package api

import (
	"context"

	"github.com/berthgg/berth/allocator"
)

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

	GameLiftServiceSdkEndpoint string `json:",omitzero"`
}

func (by caller) computeShape(c allocator.Compute) compute {
	return compute{
		FleetId:       string(c.FleetID),
		FleetArn:      c.FleetARN,
		ComputeName:   c.Name,
		ComputeArn:    c.ARN,
		IpAddress:     c.IPAddress,
		DnsName:       c.DNSName,
		ComputeStatus: "ACTIVE",
		Location:      c.Location,
		CreationTime:  timestamp(c.CreationTime),

		GameLiftServiceSdkEndpoint: by.reached.serverSDK(),
	}
}

type computeOutput struct{ Compute compute }

func (by caller) computeResult(c *allocator.Compute, err error) (*computeOutput, error) {
	if err != nil {
		return nil, err
	}
	return &computeOutput{by.computeShape(*c)}, nil
}

type registerComputeInput struct {
	FleetId         *string `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	ComputeName     *string `validate:"required,min=1,max=128,pattern=computeName"`
	CertificatePath *string `validate:"omitnil,min=1,max=1024"`
	DnsName         *string `validate:"omitnil,min=1,max=256,pattern=dnsName"`
	IpAddress       *string `validate:"omitnil,min=1,max=128,pattern=ipAddress"`
	Location        *string `validate:"omitnil,min=1,max=64,pattern=location"`
}

func registerCompute(ctx context.Context, a *allocator.Allocator, in *registerComputeInput, by caller) (*computeOutput, error) {
	return by.computeResult(a.RegisterCompute(ctx, allocator.RegisterComputeInput{
		FleetID:         allocator.FleetID(*in.FleetId),
		Name:            *in.ComputeName,
		Location:        value(in.Location),
		IPAddress:       value(in.IpAddress),
		DNSName:         value(in.DnsName),
		CertificatePath: value(in.CertificatePath),
	}))
}

type computeInput struct {
	FleetId     *string `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	ComputeName *string `validate:"required,max=1024,pattern=computeOrArn"`
}

func (in *computeInput) fleet() allocator.FleetID { return allocator.FleetID(*in.FleetId) }

func describeCompute(ctx context.Context, a *allocator.Allocator, in *computeInput, by caller) (*computeOutput, error) {
	return by.computeResult(a.DescribeCompute(ctx, in.fleet(), *in.ComputeName))
}

func deregisterCompute(ctx context.Context, a *allocator.Allocator, in *computeInput, _ caller) (*nothing, error) {
	return &nothing{}, a.DeregisterCompute(ctx, in.fleet(), *in.ComputeName)
}

type getComputeAuthTokenOutput struct {
	FleetId             string
	FleetArn            string
	ComputeName         string
	ComputeArn          string
	AuthToken           string
	ExpirationTimestamp timestamp
}

func getComputeAuthToken(ctx context.Context, a *allocator.Allocator, in *computeInput, _ caller) (*getComputeAuthTokenOutput, error) {
	token, err := a.GetComputeAuthToken(ctx, in.fleet(), *in.ComputeName)
	if err != nil {
		return nil, err
	}
	return &getComputeAuthTokenOutput{
		FleetId:             string(token.Compute.FleetID),
		FleetArn:            token.Compute.FleetARN,
		ComputeName:         token.Compute.Name,
		ComputeArn:          token.Compute.ARN,
		AuthToken:           token.Token,
		ExpirationTimestamp: timestamp(token.ExpirationTime),
	}, nil
}

type listComputeInput struct {
	FleetId                      *string `validate:"required,min=1,max=512,pattern=fleetIdOrArn"`
	Location                     *string `validate:"omitnil,min=1,max=64,pattern=location"`
	ComputeStatus                *string `validate:"omitnil,oneof=ACTIVE IMPAIRED"`
	ContainerGroupDefinitionName *string `validate:"omitnil,min=1,max=512"` // no fleet here has containers
	Limit                        *int    `validate:"omitnil,min=1"`
	NextToken                    *string `validate:"omitnil,min=1,max=1024"`
}

type listComputeOutput struct {
	ComputeList []compute
	NextToken   string `json:",omitzero"`
}

func listCompute(ctx context.Context, a *allocator.Allocator, in *listComputeInput, by caller) (*listComputeOutput, error) {
	computes, next, err := a.ListCompute(ctx, allocator.FleetID(*in.FleetId), value(in.Location), value(in.Limit), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	if in.ContainerGroupDefinitionName != nil || value(in.ComputeStatus) == "IMPAIRED" { // computes here are neither
		return &listComputeOutput{ComputeList: []compute{}}, nil
	}
	return &listComputeOutput{shapes(computes, by.computeShape), next}, nil
}
