package gameserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"time"
)

// SigV4 are the credentials of a process that signs its connection instead of showing an auth token.
type SigV4 struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // of temporary credentials; otherwise empty
	Region          string
}

// sign returns the members of a connection's query that stand for the credentials. The signature covers signed, which the
// protocol hashes as it is, percent-encoded and sorted by name, where AWS would hash a whole canonical request.
func (s SigV4) sign(signed url.Values, at time.Time) url.Values {
	const algorithm, service = "AWS4-HMAC-SHA256", "gamelift"
	at = at.UTC()
	date, instant := at.Format("20060102"), at.Format("20060102T150405Z")
	scope := date + "/" + s.Region + "/" + service + "/aws4_request"
	digest := sha256.Sum256([]byte(signed.Encode()))

	key := []byte("AWS4" + s.SecretAccessKey)
	for _, part := range []string{date, s.Region, service, "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	signature := hmacSHA256(key, algorithm+"\n"+instant+"\n"+scope+"\n"+hex.EncodeToString(digest[:]))

	query := url.Values{
		"Authorization":    {"SigV4"},
		"X-Amz-Algorithm":  {algorithm},
		"X-Amz-Credential": {s.AccessKeyID + "/" + scope},
		"X-Amz-Date":       {instant},
		"X-Amz-Signature":  {hex.EncodeToString(signature)},
	}
	if s.SessionToken != "" {
		query.Set("X-Amz-Security-Token", s.SessionToken)
	}
	return query
}

func hmacSHA256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
