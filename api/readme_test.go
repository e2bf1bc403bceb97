package api_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/gamelift"

	"github.com/berthgg/berth/api"
)

// The README says of every operation of Amazon GameLift whether Berth serves it, and of Berth's own.
func TestReadmeListsTheOperationTable(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### Operations")
	servedText, rest, _ := strings.Cut(section, "and these of its own")
	ownText, notServedText, _ := strings.Cut(rest, "these are not served:")
	notServedText, _, _ = strings.Cut(notServedText, "###")
	word := regexp.MustCompile(`[A-Z][a-zA-Z0-9]+`)
	cells := func(text string, column int) (names []string) {
		for line := range strings.Lines(text) {
			if row := strings.Split(line, "|"); len(row) > column && strings.HasPrefix(line, "| ") {
				names = append(names, word.FindAllString(row[column], -1)...)
			}
		}
		return names
	}
	served, own, notServed := cells(servedText, 2), cells(ownText, 1), cells(notServedText, 1)

	client := reflect.TypeFor[*gamelift.Client]()
	var published []string
	for i := range client.NumMethod() {
		if name := client.Method(i).Name; name != "Options" {
			published = append(published, name)
		}
	}
	sameNames(t, "served or not served", append(slices.Clone(served), notServed...), published)
	sameNames(t, "served and Berth's own", append(slices.Clone(served), own...), api.Operations())
}

// The README's game server is the one of the example, which compiles.
func TestReadmeShowsTheGameServerOfTheExample(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("gameserver/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Game servers\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, snippet, found := strings.Cut(section, "```go\n")
	snippet, _, _ = strings.Cut(snippet, "```")
	indentation := regexp.MustCompile(`(?m)^\t+`)
	if !found || !strings.Contains(indentation.ReplaceAllString(string(example), ""), indentation.ReplaceAllString(snippet, "")) {
		t.Errorf("the example lacks what the README shows of a game server:\n%s", snippet)
	}
}

func sameNames(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("the README lacks %s among what is %s", name, what)
		}
	}
	for i, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("the README has %s among what is %s, and it is not", name, what)
		}
		if slices.Contains(got[:i], name) {
			t.Errorf("the README has %s twice", name)
		}
	}
}
