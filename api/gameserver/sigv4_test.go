package gameserver

import (
	"net/url"
	"testing"
	"time"
)

// The Go SDK's own tests expect this signature.
func TestSignatureIsTheSDKs(t *testing.T) {
	signer := SigV4{AccessKeyID: "testAccessKey", SecretAccessKey: "testSecretKey", SessionToken: "testSessionToken", Region: "us-east-1"}
	signed := signer.sign(url.Values{"param1": {"value1"}, "param2": {"value2"}}, time.Date(2024, 8, 5, 12, 0, 0, 0, time.FixedZone("", 2*3600)))
	const want = "Authorization=SigV4" +
		"&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=testAccessKey%2F20240805%2Fus-east-1%2Fgamelift%2Faws4_request" +
		"&X-Amz-Date=20240805T100000Z" +
		"&X-Amz-Security-Token=testSessionToken" +
		"&X-Amz-Signature=2601fe291f4b43a63f6ffb0e1d9085a1edbaa2a866c96511e153af3408bfe771"
	if got := signed.Encode(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
