package main

import (
	"fmt"
	"regexp"
	"strings"
)

var accessKeyID = regexp.MustCompile(`^[A-Za-z0-9]{1,128}$`)

// accessKeys returns the secrets of --access-key by ID. Errors quote nothing: where one is mistyped, anything may be the secret.
func (s *serveCommand) accessKeys() (map[string]string, error) {
	secrets := make(map[string]string, len(s.AccessKey))
	for i, text := range s.AccessKey {
		id, secret, _ := strings.Cut(text, ":")
		if !accessKeyID.MatchString(id) || secret == "" {
			return nil, fmt.Errorf("--access-key: number %d is not ID:SECRET, where the ID has 1 to 128 letters and digits; "+
				"a comma begins the next one unless it is written as \\,", i+1)
		}
		if _, twice := secrets[id]; twice {
			return nil, fmt.Errorf("--access-key: number %d has the ID of an earlier one", i+1)
		}
		secrets[id] = secret
	}
	return secrets, nil
}
