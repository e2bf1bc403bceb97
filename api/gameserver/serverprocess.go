package gameserver

import (
	"context"
	"math/rand/v2"
	"time"
)

// ProcessReady says that the process can host game sessions, whose players come to port. Heartbeats begin with its success, the first at
// once. logPaths are files for the service to keep, if it does.
func (p *Process) ProcessReady(ctx context.Context, port int, logPaths []string) error {
	err := p.request(ctx, "ActivateServerProcess", nil,
		Member{"SdkVersion", p.config.SDKVersion},
		Member{"SdkLanguage", p.config.SDKLanguage},
		Member{"SdkToolName", given(p.config.SDKToolName)},
		Member{"SdkToolVersion", given(p.config.SDKToolVersion)},
		Member{"Port", port},
		Member{"LogPaths", logPaths})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beating == nil {
		ctx, stop := context.WithCancel(p.ctx)
		p.beating = stop
		go p.beat(ctx)
	}
	return nil
}

// ProcessEnding says that the process ends; its game session ends with it. Heartbeats stop at once, whatever the service says. A process
// hosts one game session; one that calls ProcessReady afterwards is offered anew, for another.
func (p *Process) ProcessEnding(ctx context.Context) error {
	p.mu.Lock()
	if p.beating != nil {
		p.beating()
		p.beating = nil
	}
	p.mu.Unlock()
	return p.request(ctx, "TerminateServerProcess", nil)
}

// Heartbeat says how the process is, beside the heartbeats that are sent by themselves.
func (p *Process) Heartbeat(ctx context.Context, healthy bool) error {
	return p.request(ctx, "HeartbeatServerProcess", nil, Member{"HealthStatus", healthy})
}

// beat sends heartbeats until ctx ends.
func (p *Process) beat(ctx context.Context) {
	for {
		spread := p.config.Heartbeat / 6
		next := time.NewTimer(p.config.Heartbeat - spread + rand.N(2*spread+1))
		healthy := p.config.HealthCheck()
		if ctx.Err() == nil {
			if err := p.Heartbeat(ctx, healthy); err != nil && ctx.Err() == nil {
				p.config.Logger.Warn("a heartbeat failed", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		}
	}
}

// ComputeCertificate is where the TLS certificate of the compute lies.
type ComputeCertificate struct {
	CertificatePath string // empty if it has none
	ComputeName     string
}

// GetComputeCertificate returns the TLS certificate of the compute on which the process runs.
func (p *Process) GetComputeCertificate(ctx context.Context) (ComputeCertificate, error) {
	var certificate ComputeCertificate
	err := p.request(ctx, "GetComputeCertificate", &certificate)
	return certificate, err
}

// FleetRoleCredentials are credentials of AWS.
type FleetRoleCredentials struct {
	AccessKeyID        string // empty if the fleet is not managed by AWS: there are none
	SecretAccessKey    string
	SessionToken       string
	AssumedRoleUserARN string
	AssumedRoleID      string
	Expiration         time.Time
}

// GetFleetRoleCredentials returns credentials for a role of AWS.
func (p *Process) GetFleetRoleCredentials(ctx context.Context, roleARN, roleSessionName string) (FleetRoleCredentials, error) {
	var got struct {
		AccessKeyID        string `json:"AccessKeyId"`
		SecretAccessKey    string
		SessionToken       string
		AssumedRoleUserARN string `json:"AssumedRoleUserArn"`
		AssumedRoleID      string `json:"AssumedRoleId"`
		Expiration         int64
	}
	err := p.request(ctx, "GetFleetRoleCredentials", &got,
		Member{"RoleArn", given(roleARN)}, Member{"RoleSessionName", given(roleSessionName)})
	if err != nil {
		return FleetRoleCredentials{}, err
	}
	return FleetRoleCredentials{
		AccessKeyID:        got.AccessKeyID,
		SecretAccessKey:    got.SecretAccessKey,
		SessionToken:       got.SessionToken,
		AssumedRoleUserARN: got.AssumedRoleUserARN,
		AssumedRoleID:      got.AssumedRoleID,
		Expiration:         fromMillis(got.Expiration),
	}, nil
}
