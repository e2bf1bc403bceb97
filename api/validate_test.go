package api

import (
	"testing"

	"pgregory.net/rapid"
)

func TestMatchersMatchWhatThePatternsDo(t *testing.T) {
	text := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9:/_.-]{0,9}`), // what most patterns allow, or nearly
		rapid.StringMatching(`[a-zA-Z0-9:/-]{0,4}[\x00-\x7f]{0,2}`),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(bytes []byte) string { return string(bytes) }), // no valid UTF-8
	)
	for name, pattern := range patterns {
		rapid.Check(t, func(t *rapid.T) {
			s := text.Draw(t, "text")
			if got, want := matchers[name](s), pattern.MatchString(s); got != want {
				t.Errorf("%q matches the pattern %s: %v, want %v", s, pattern, got, want)
			}
		})
	}
}
