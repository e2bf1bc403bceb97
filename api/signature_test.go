package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator"
)

// signerID and signerSecret are the access key with which these tests sign.
const (
	signerID     = "AKIDEXAMPLE"
	signerSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var signers = map[string]string{signerID: signerSecret, "OTHERKEY": "another secret"}

// signatureOf signs by the rules of AWS Signature Version 4, spelled out.
func signatureOf(secret, date, day, region, service, canonical string) string {
	mac := func(key, text string) string {
		hash := hmac.New(sha256.New, []byte(key))
		hash.Write([]byte(text))
		return string(hash.Sum(nil))
	}
	key := mac(mac(mac(mac("AWS4"+secret, day), region), service), "aws4_request")
	return fmt.Sprintf("%x", mac(key, fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%x", date, day, region, service, sha256.Sum256([]byte(canonical)))))
}

// signedQuery is the query with which the Server SDK connects.
func signedQuery() url.Values {
	const date = "20261122T195148Z"
	return url.Values{
		"Authorization": {"SigV4"}, "ComputeId": {"host-1"}, "FleetId": {"fleet-1"}, "pID": {"proc-1"}, "sdkVersion": {"5.6.0"},
		"X-Amz-Algorithm":  {"AWS4-HMAC-SHA256"},
		"X-Amz-Credential": {signerID + "/20261122/us-east-1/gamelift/aws4_request"},
		"X-Amz-Date":       {date},
		"X-Amz-Signature":  {signatureOf(signerSecret, date, "20261122", "us-east-1", "gamelift", "ComputeId=host-1&FleetId=fleet-1&pID=proc-1")},
	}
}

func TestSignatureOfTheServerSDKIsAccepted(t *testing.T) {
	query := signedQuery()
	if got, want := query.Get("X-Amz-Signature"), "b0b5f00c2adae138b529be971de402f7cf7550bdc1d1f0a9802b752074c3218b"; got != want { // computed in Python
		t.Errorf("the test signs with %s, want %s", got, want)
	}
	query.Set("X-Amz-Security-Token", "is not signed")
	signedAt, err := verifySignature(query, "us-east-1", signers)
	if want := time.Date(2026, 11, 22, 19, 51, 48, 0, time.UTC); err != nil || !signedAt.Equal(want) {
		t.Errorf("it was signed at %v (error: %v), want %v", signedAt, err, want)
	}
}

func TestSignatureIsForTheRegionOfTheService(t *testing.T) {
	query := signedQuery()
	query.Set("X-Amz-Credential", signerID+"/20261122/eu-west-1/gamelift/aws4_request")
	query.Set("X-Amz-Signature", signatureOf(signerSecret, query.Get("X-Amz-Date"), "20261122", "eu-west-1", "gamelift", "ComputeId=host-1&FleetId=fleet-1&pID=proc-1"))
	if _, err := verifySignature(query, "eu-west-1", signers); err != nil {
		t.Error(err)
	}
	if _, err := verifySignature(query, "us-east-1", signers); err == nil {
		t.Error("it is accepted in another region")
	}
}

func TestSignatureIsAcceptedHoweverAnSDKWritesTheIDs(t *testing.T) {
	for _, c := range []struct {
		compute, process string
		canonical        string
		accepted         bool
	}{
		{"host/1", "a b", "ComputeId=host%2F1&FleetId=fleet-1&pID=a+b", true},
		{"host/1", "a b", "ComputeId=host%2F1&FleetId=fleet-1&pID=a%20b", true},
		{"host/1", "a b", "ComputeId=host/1&FleetId=fleet-1&pID=a b", true},
		{"host-1", "a+b&c=d%", "ComputeId=host-1&FleetId=fleet-1&pID=a%2Bb%26c%3Dd%25", true},
		// What is written raw must not be read as other IDs.
		{"host-1", "a%20b", "ComputeId=host-1&FleetId=fleet-1&pID=a%20b", false},
		{"host-1", "a+b", "ComputeId=host-1&FleetId=fleet-1&pID=a+b", false},
		{"host-1", "a&b=c", "ComputeId=host-1&FleetId=fleet-1&pID=a&b=c", false},
		{"host/1", "proc-1", "ComputeId=host%2f1&FleetId=fleet-1&pID=proc-1", false},
	} {
		query := signedQuery()
		query.Set("ComputeId", c.compute)
		query.Set("pID", c.process)
		query.Set("X-Amz-Signature", signatureOf(signerSecret, query.Get("X-Amz-Date"), "20261122", "us-east-1", "gamelift", c.canonical))
		if _, err := verifySignature(query, "us-east-1", signers); (err == nil) != c.accepted {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestSignatureIsRefusedForWhatIsWrong(t *testing.T) {
	const notOurs = "the signature is not that of an access key of this service (--access-key)"
	// sign signs anew what was changed.
	sign := func(query url.Values, day, region, service string) {
		query.Set("X-Amz-Credential", strings.Join([]string{signerID, day, region, service, "aws4_request"}, "/"))
		query.Set("X-Amz-Signature", signatureOf(signerSecret, query.Get("X-Amz-Date"), day, region, service, "ComputeId=host-1&FleetId=fleet-1&pID=proc-1"))
	}
	type change = func(query url.Values)
	set := func(name, value string) change { return func(query url.Values) { query.Set(name, value) } }
	type wrong struct {
		change         change
		message, cause string
	}
	cases := map[string]wrong{
		"unknown access key": {
			set("X-Amz-Credential", "AKIDNOBODY/20261122/us-east-1/gamelift/aws4_request"), notOurs, `there is no access key "AKIDNOBODY"`},
		"no access key": {
			set("X-Amz-Credential", "/20261122/us-east-1/gamelift/aws4_request"), notOurs, `there is no access key ""`},
		"another access key": {
			set("X-Amz-Credential", "OTHERKEY/20261122/us-east-1/gamelift/aws4_request"), notOurs, `the access key "OTHERKEY" signs otherwise`},
		"another signature":    {set("X-Amz-Signature", strings.Repeat("0", 64)), notOurs, `the access key "AKIDEXAMPLE" signs otherwise`},
		"signature cut short":  {set("X-Amz-Signature", signedQuery().Get("X-Amz-Signature")[:63]), notOurs, "signs otherwise"},
		"another compute":      {set("ComputeId", "host-2"), notOurs, "signs otherwise"},
		"another fleet":        {set("FleetId", "fleet-2"), notOurs, "signs otherwise"},
		"another process":      {set("pID", "proc-2"), notOurs, "signs otherwise"},
		"another time":         {set("X-Amz-Date", "20261122T195149Z"), notOurs, "signs otherwise"},
		"another region":       {func(q url.Values) { sign(q, "20261122", "eu-west-1", "gamelift") }, `the region in X-Amz-Credential is "eu-west-1"; here it must be us-east-1`, ""},
		"another service":      {func(q url.Values) { sign(q, "20261122", "us-east-1", "s3") }, `the service in X-Amz-Credential is "s3"; here it must be gamelift`, ""},
		"another date":         {func(q url.Values) { sign(q, "20261121", "us-east-1", "gamelift") }, `the date in X-Amz-Credential is "20261121"; here it must be 20261122`, ""},
		"another end":          {set("X-Amz-Credential", signerID+"/20261122/us-east-1/gamelift/aws5_request"), `the end in X-Amz-Credential is "aws5_request"; here it must be aws4_request`, ""},
		"credential too short": {set("X-Amz-Credential", signerID), "X-Amz-Credential has 1 parts; it must be", ""},
		"credential too long":  {set("X-Amz-Credential", "a/"+signedQuery().Get("X-Amz-Credential")), "X-Amz-Credential has 6 parts; it must be", ""},
		"another algorithm":    {set("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), `X-Amz-Algorithm is "AWS4-ECDSA-P256-SHA256"; it must be AWS4-HMAC-SHA256`, ""},
		"malformed date":       {set("X-Amz-Date", "2026-11-22T19:51:48Z"), `X-Amz-Date is "2026-11-22T19:51:48Z"; it must be a time`, ""},
		"fraction in the date": {set("X-Amz-Date", "20261122T195148.5Z"), `X-Amz-Date is "20261122T195148.5Z"; it must be a time`, ""},
		"impossible date":      {set("X-Amz-Date", "20261322T195148Z"), `X-Amz-Date is "20261322T195148Z"; it must be a time`, ""},
	}
	for _, name := range []string{"ComputeId", "FleetId", "pID", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature"} {
		twice := func(query url.Values) { query.Add(name, query.Get(name)) }
		cases["no "+name] = wrong{func(query url.Values) { query.Del(name) }, name + " is missing in the query", ""}
		cases["empty "+name] = wrong{set(name, ""), name + " is missing in the query", ""}
		cases["two of "+name] = wrong{twice, name + " is in the query 2 times; it must be there once", ""}
	}
	for name, c := range cases {
		query := signedQuery()
		c.change(query)
		signedAt, err := verifySignature(query, "us-east-1", signers)
		var refusal *allocator.Error
		if !errors.As(err, &refusal) {
			t.Errorf("%s: it was signed at %v (error: %v)", name, signedAt, err)
			continue
		}
		if !strings.HasPrefix(refusal.Message, c.message) || (c.message == notOurs && refusal.Message != notOurs) {
			t.Errorf("%s: the client is told %q, want %q", name, refusal.Message, c.message)
		}
		if (c.cause == "") != (refusal.Cause == nil) || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%s: the log is told %q, want %q", name, err, c.cause)
		}
		if !signedAt.IsZero() {
			t.Errorf("%s: it was signed at %v", name, signedAt)
		}
	}
}

func TestNobodySignsWithoutASecret(t *testing.T) {
	query := signedQuery()
	query.Set("X-Amz-Signature", signatureOf("", query.Get("X-Amz-Date"), "20261122", "us-east-1", "gamelift", "ComputeId=host-1&FleetId=fleet-1&pID=proc-1"))
	for name, accessKeys := range map[string]map[string]string{"no access keys": nil, "an empty secret": {signerID: ""}} {
		if _, err := verifySignature(query, "us-east-1", accessKeys); err == nil {
			t.Errorf("%s: the signature of nothing is accepted", name)
		}
	}
}

// FuzzSignature never accepts what was signed without the secret, and knows what is wrong with anything.
func FuzzSignature(f *testing.F) {
	f.Add(signedQuery().Encode())
	f.Add("")
	for name := range signedQuery() {
		query := signedQuery()
		query.Set(name, "%/&=\x00ÿ")
		f.Add(query.Encode())
		query.Add(name, "two")
		f.Add(query.Encode())
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, _ := url.ParseQuery(text) // as net/url does it for a request, without what is malformed
		// Who wrote the query knows the secret of these tests, but not this one.
		_, err := verifySignature(query, "us-east-1", map[string]string{signerID: "unknown to the query"})
		var refusal *allocator.Error
		if !errors.As(err, &refusal) || refusal.Message == "" {
			t.Errorf("%q: %v", text, err)
		}
		// With the secret of these tests, only what the rules give is accepted.
		signedAt, err := verifySignature(query, "us-east-1", map[string]string{signerID: signerSecret})
		if err != nil {
			return
		}
		date := query.Get("X-Amz-Date")
		if signedAt.Format("20060102T150405Z") != date {
			t.Errorf("%q: it was signed at %v", text, signedAt)
		}
		for _, canonical := range canonicalQueries(query) {
			if query.Get("X-Amz-Signature") == signatureOf(signerSecret, date, date[:8], "us-east-1", "gamelift", canonical) {
				return
			}
		}
		t.Errorf("%q: accepted", text)
	})
}
