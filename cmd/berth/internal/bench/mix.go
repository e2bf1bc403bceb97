package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Mix is the scenarios that callers choose from, each as often as its weight says.
type Mix struct {
	parts []weighted
	total int
}

type weighted struct {
	scenario
	weight int
}

// ParseMix reads a scenario, such as "reserve", or several with weights, such as "reserve=8,describe=2".
func ParseMix(text string) (Mix, error) {
	var m Mix
	for part := range strings.SplitSeq(text, ",") {
		name, count, weights := strings.Cut(part, "=")
		s, ok := scenarioOf(name)
		if !ok {
			return Mix{}, fmt.Errorf("there is no scenario %q; there are %s", name, strings.Join(ScenarioNames(), ", "))
		}
		weight := 1
		if weights {
			var err error
			if weight, err = strconv.Atoi(count); err != nil || weight < 1 || weight > 1_000_000 {
				return Mix{}, fmt.Errorf("the weight of %s is %q; it must be a whole number from 1, as in reserve=8,describe=2", name, count)
			}
		}
		if m.has(name) {
			return Mix{}, fmt.Errorf("the scenario %s is there twice; give it one weight", name)
		}
		m.parts = append(m.parts, weighted{s, weight})
		m.total += weight
	}
	return m, nil
}

// ScenarioNames lists the scenarios.
func ScenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// Scenarios describes each scenario on a line.
func Scenarios() string {
	var text strings.Builder
	for _, s := range scenarios {
		fmt.Fprintf(&text, "%-12s %s\n", s.name, s.about)
	}
	return text.String()
}

func (m Mix) String() string {
	var parts []string
	for _, p := range m.parts {
		if len(m.parts) == 1 {
			return p.name
		}
		parts = append(parts, p.name+"="+strconv.Itoa(p.weight))
	}
	return strings.Join(parts, ",")
}

// has tells whether any of the scenarios is in the mix.
func (m Mix) has(names ...string) bool {
	return slices.ContainsFunc(m.parts, func(p weighted) bool { return slices.Contains(names, p.name) })
}

// hasOnly tells whether no other scenarios are in the mix.
func (m Mix) hasOnly(names ...string) bool {
	return !slices.ContainsFunc(m.parts, func(p weighted) bool { return !slices.Contains(names, p.name) })
}

func (m Mix) pick() scenario {
	if len(m.parts) == 1 {
		return m.parts[0].scenario
	}
	n := rand.IntN(m.total)
	for _, p := range m.parts {
		if n < p.weight {
			return p.scenario
		}
		n -= p.weight
	}
	panic("the weights do not add up")
}
