package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/berthgg/berth/allocator"
)

const (
	signatureAlgorithm  = "AWS4-HMAC-SHA256"
	signatureService    = "gamelift"
	signatureTerminator = "aws4_request"
	signatureDate       = "20060102"
	signatureTime       = "20060102T150405Z"
)

// verifySignature checks the query of a connection that a game server signed, in the Server SDK's own form of AWS Signature
// Version 4: what is signed is ComputeId, FleetId and pID, and nothing else of the request. accessKeys are secrets by id. It
// returns when that was, by the game server's clock; whether it is recent is for the caller to judge. Any error is of the kind
// ErrUnauthorized; its message is the same for an access key that there is not as for a wrong signature.
func verifySignature(query url.Values, region string, accessKeys map[string]string) (signedAt time.Time, err error) {
	refuse := func(format string, args ...any) (time.Time, error) {
		return time.Time{}, &allocator.Error{Kind: allocator.ErrUnauthorized, Message: fmt.Sprintf(format, args...)}
	}
	for _, name := range []string{"ComputeId", "FleetId", "pID", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature"} {
		switch values := query[name]; {
		case len(values) == 0 || values[0] == "":
			return refuse("%s is missing in the query", name)
		case len(values) > 1:
			return refuse("%s is in the query %d times; it must be there once", name, len(values))
		}
	}
	if algorithm := query.Get("X-Amz-Algorithm"); algorithm != signatureAlgorithm {
		return refuse("X-Amz-Algorithm is %s; it must be %s", quoted(algorithm), signatureAlgorithm)
	}
	date := query.Get("X-Amz-Date")
	signedAt, err = time.Parse(signatureTime, date)
	if err != nil || signedAt.Format(signatureTime) != date {
		return refuse("X-Amz-Date is %s; it must be a time in UTC such as 20261122T195148Z", quoted(date))
	}
	credential := strings.Split(query.Get("X-Amz-Credential"), "/")
	if len(credential) != 5 {
		return refuse("X-Amz-Credential has %d parts; it must be <access key id>/<date>/<region>/gamelift/aws4_request", len(credential))
	}
	for i, part := range []struct{ name, want string }{
		{"date", signedAt.Format(signatureDate)}, {"region", region}, {"service", signatureService}, {"end", signatureTerminator},
	} {
		if got := credential[i+1]; got != part.want {
			return refuse("the %s in X-Amz-Credential is %s; here it must be %s", part.name, quoted(got), part.want)
		}
	}

	id, scope := credential[0], strings.Join(credential[1:], "/")
	secret := accessKeys[id]
	key := []byte("AWS4" + secret)
	for _, part := range credential[1:] {
		key = hmacSHA256(key, part)
	}
	genuine := false
	for _, canonical := range canonicalQueries(query) {
		hash := sha256.Sum256([]byte(canonical))
		text := strings.Join([]string{signatureAlgorithm, date, scope, hex.EncodeToString(hash[:])}, "\n")
		genuine = hmac.Equal([]byte(hex.EncodeToString(hmacSHA256(key, text))), []byte(query.Get("X-Amz-Signature"))) || genuine
	}
	if secret != "" && genuine {
		return signedAt, nil
	}
	cause := fmt.Errorf("the access key %s signs otherwise", quoted(id))
	if secret == "" {
		cause = fmt.Errorf("there is no access key %s", quoted(id))
	}
	return time.Time{}, &allocator.Error{
		Kind: allocator.ErrUnauthorized, Message: "the signature is not that of an access key of this service (--access-key)", Cause: cause,
	}
}

func hmacSHA256(key []byte, text string) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write([]byte(text))
	return hash.Sum(nil)
}

// canonicalQueries returns what a game server may have signed: the SDKs differ in how they write a space, and some sign values as
// they are. Those that have a sign with a meaning in a query are not taken as they are, for others could be written like them.
func canonicalQueries(query url.Values) []string {
	compute, fleet, process := query.Get("ComputeId"), query.Get("FleetId"), query.Get("pID")
	written := func(escape func(string) string) string {
		return "ComputeId=" + escape(compute) + "&FleetId=" + escape(fleet) + "&pID=" + escape(process)
	}
	escaped := written(url.QueryEscape)
	queries := []string{escaped, strings.ReplaceAll(escaped, "+", "%20")}
	if !strings.ContainsAny(compute+fleet+process, "%&=+") {
		queries = append(queries, written(func(value string) string { return value }))
	}
	return queries
}
