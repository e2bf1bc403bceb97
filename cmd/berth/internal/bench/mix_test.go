package bench

import (
	"strings"
	"testing"
)

func TestMixIsReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"reserve":              "reserve",
		"life=3":               "life",
		"reserve=8,describe=2": "reserve=8,describe=2",
		"search,place":         "search=1,place=1",
	} {
		mix, err := ParseMix(text)
		if err != nil || mix.String() != want {
			t.Errorf("%s is %s (error: %v), want %s", text, mix, err, want)
		}
	}
}

func TestMixThatCannotBeIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                    `there is no scenario ""; there are reserve-hot, reserve, group, life, describe, search, place`,
		"reserved":            `there is no scenario "reserved"`,
		"reserve=8,":          `there is no scenario ""`,
		"reserve=0":           `the weight of reserve is "0"; it must be a whole number from 1`,
		"reserve=":            `the weight of reserve is ""`,
		"reserve=1.5":         `the weight of reserve is "1.5"`,
		"reserve=2,reserve=1": "the scenario reserve is there twice",
	} {
		if _, err := ParseMix(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %v, want %s", text, err, want)
		}
	}
}

func TestScenariosArePickedByTheirWeights(t *testing.T) {
	mix, err := ParseMix("reserve=9,describe=1")
	if err != nil {
		t.Fatal(err)
	}
	const picks = 100_000
	described := 0
	for range picks {
		if mix.pick().name == "describe" {
			described++
		}
	}
	if described < picks/10*9/10 || described > picks/10*11/10 { // ten times the standard deviation
		t.Errorf("describe was picked %d times of %d, want about a tenth", described, picks)
	}
}
