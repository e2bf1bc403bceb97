package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestAccessKeysAreReadAsWritten(t *testing.T) {
	long := strings.Repeat("A", 128)
	for _, args := range [][]string{
		{"--access-key", "AKIDONE:a:b/+= ", "--access-key", long + ":c\\,d"},
		{"--access-key=AKIDONE:a:b/+= ," + long + ":c\\,d"},
	} {
		var parsed commands
		parser, err := kong.New(&parsed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(append([]string{"serve"}, args...)); err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		got, err := parsed.Serve.accessKeys()
		if want := map[string]string{"AKIDONE": "a:b/+= ", long: "c,d"}; err != nil || !maps.Equal(got, want) {
			t.Errorf("%q are %q (error: %v), want %q", args, got, err, want)
		}
	}
	if _, err := (&serveCommand{AccessKey: []string{long + "A:a"}}).accessKeys(); err == nil {
		t.Error("an ID of 129 characters is taken")
	}
}
