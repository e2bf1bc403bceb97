package allocator

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// subject is the game session that the tables below are about.
func subject() *GameSession {
	return &GameSession{
		ID:                        "arn:aws:gamelift:us-east-1::gamesession/fleet-1/gsess-1",
		Name:                      "Matt's game",
		Status:                    GameSessionActive,
		CreationTime:              time.UnixMilli(1469498468057),
		CurrentPlayerSessionCount: 3,
		MaximumPlayerSessionCount: 10,
		GameProperties:            map[string]string{"mode": "duel", "map": "Größe", "quote": `say "hi"`, "back": `a\b`, "level": "7"},
	}
}

func TestFilterKeepsWhatItsExpressionSays(t *testing.T) {
	for expression, want := range map[string]bool{
		// no condition
		"":        true,
		"  \t\n ": true,
		// each operand
		"gameSessionId='arn:aws:gamelift:us-east-1::gamesession/fleet-1/gsess-1'": true,
		"gameSessionId='gsess-1'":               false,
		"gameSessionId<>'gsess-1'":              true,
		`gameSessionName='Matt\'s game'`:        true,
		`gameSessionName="Matt's game"`:         true,
		`gameSessionName='matt\'s game'`:        false, // texts are compared as they are
		"gameSessionName<>'x'":                  true,
		"gameSessionProperties.mode='duel'":     true,
		"gameSessionProperties.mode='race'":     false,
		"gameSessionProperties.mode<>'race'":    true,
		"gameSessionProperties.map='Größe'":     true,
		"maximumSessions=10":                    true,
		"maximumSessions<>10":                   false,
		"creationTimeMillis=1469498468057":      true,
		"creationTimeMillis>1469498468056":      true,
		"creationTimeMillis<1469498468057":      false,
		"playerSessionCount=3":                  true,
		"hasAvailablePlayerSessions=true":       true,
		"hasAvailablePlayerSessions=false":      false,
		"hasAvailablePlayerSessions<>false":     true,
		"hasAvailablePlayerSessions = TRUE":     true,
		"gameSessionProperties.level='7'":       true,
		"gameSessionProperties.level<>'7'":      false,
		"gameSessionProperties.MODE='duel'":     false, // keys, too
		"gameSessionProperties.mode = ' duel '": false,
		// each comparator of numbers, at the edge
		"playerSessionCount<3":  false,
		"playerSessionCount<4":  true,
		"playerSessionCount<=3": true,
		"playerSessionCount<=2": false,
		"playerSessionCount>3":  false,
		"playerSessionCount>2":  true,
		"playerSessionCount>=3": true,
		"playerSessionCount>=4": false,
		"playerSessionCount<>3": false,
		"playerSessionCount<>4": true,
		// how numbers may be written
		"playerSessionCount=3.0":   true,
		"playerSessionCount<3.5":   true,
		"playerSessionCount>-1":    true,
		"playerSessionCount=+3":    true,
		"playerSessionCount=0.3e1": true,
		// how strings may be quoted
		`gameSessionProperties.quote='say "hi"'`:   true,
		`gameSessionProperties.quote="say \"hi\""`: true,
		`gameSessionProperties.back='a\\b'`:        true,
		`gameSessionProperties.mode="du\el"`:       true,
		`gameSessionProperties.mode='AND'`:         false,
		`gameSessionName<>''`:                      true,
		// what a game session does not have is neither equal to anything nor different from it
		"gameSessionProperties.none='x'":      false,
		"gameSessionProperties.none<>'x'":     false,
		"gameSessionProperties.none=''":       false,
		"NOT gameSessionProperties.none='x'":  true,
		"NOT gameSessionProperties.none<>'x'": true,
		// NOT binds tighter than AND, AND tighter than OR
		"NOT playerSessionCount=3":                                                      false,
		"NOT NOT playerSessionCount=3":                                                  true,
		"NOT playerSessionCount=4 AND playerSessionCount=3":                             true,
		"NOT playerSessionCount=3 OR playerSessionCount=3":                              true,
		"NOT (playerSessionCount=3 OR playerSessionCount=3)":                            false,
		"playerSessionCount=3 OR playerSessionCount=4 AND playerSessionCount=5":         true,
		"(playerSessionCount=3 OR playerSessionCount=4) AND playerSessionCount=5":       false,
		"playerSessionCount=5 AND playerSessionCount=4 OR playerSessionCount=3":         true,
		"playerSessionCount=5 AND (playerSessionCount=4 OR playerSessionCount=3)":       false,
		"playerSessionCount=3 AND NOT playerSessionCount=4 AND NOT maximumSessions=1":   true,
		"((((playerSessionCount=3))))":                                                  true,
		"NOT(playerSessionCount=4)AND(maximumSessions=10)":                              true,
		"playerSessionCount=3 and not maximumSessions=1 or gameSessionName='x'":         true,
		"playerSessionCount  =\n3\tAnD maximumSessions = 10":                            true,
		"hasAvailablePlayerSessions=true AND gameSessionProperties.mode='duel'":         true,
		strings.Repeat("(", 99) + "playerSessionCount=3" + strings.Repeat(")", 99):      true,
		strings.Repeat("NOT ", 98) + "playerSessionCount=3":                             true,
		"playerSessionCount=3" + strings.Repeat(" AND playerSessionCount=3", 5000):      true,
		"playerSessionCount=4" + strings.Repeat(" OR playerSessionCount=4", 5000):       false,
		`gameSessionProperties.mode='duel' AND gameSessionProperties.map="Größe"`:       true,
		"gameSessionProperties.mode='duel'OR playerSessionCount=4":                      true,
		"playerSessionCount=4 OR playerSessionCount=5 OR playerSessionCount=3":          true,
		"NOT playerSessionCount=4 AND NOT playerSessionCount=5 OR playerSessionCount=9": true,
	} {
		matches, err := parseFilter(expression)
		if err != nil {
			t.Errorf("%.80s: %v", expression, err)
			continue
		}
		if got := matches(subject()); got != want {
			t.Errorf("%.80s: %v, want %v", expression, got, want)
		}
	}
}

func TestFilterOnAGameSessionWithoutName(t *testing.T) {
	for expression, want := range map[string]bool{"gameSessionName=''": false, "gameSessionName<>'x'": false, "NOT gameSessionName='x'": true} {
		matches, err := parseFilter(expression)
		if err != nil {
			t.Fatal(err)
		}
		if got := matches(&GameSession{}); got != want {
			t.Errorf("%s: %v, want %v", expression, got, want)
		}
	}
}

func TestBrokenFilterIsRefusedAtTheCharacterWhereItBreaks(t *testing.T) {
	for expression, want := range map[string]struct {
		character int
		says      string
	}{
		"playerSessionCount":                             {19, "a comparator is missing"},
		"playerSessionCount =":                           {21, "compared with a number"},
		"playerSessionCount = 'three'":                   {22, "compared with a number"},
		"playerSessionCount = '3'":                       {22, "compared with a number"},
		"playerSessionCount = three":                     {22, "compared with a number"},
		"playerSessionCount = NaN":                       {22, "compared with a number"},
		"playerSessionCount < Inf":                       {22, "compared with a number"},
		"playerSessionCount > -infinity":                 {22, "compared with a number"},
		"playerSessionCount = 0x1p4":                     {22, "compared with a number"},
		"playerSessionCount == 3":                        {21, "compared with a number"},
		"playerSessionCount = 3 4":                       {24, `"4" is not expected here`},
		"playerSessionCount = 3)":                        {23, `")" is not expected here`},
		"(playerSessionCount = 3":                        {24, "a ) is missing for the ( of character 1"},
		"maximumSessions=1 AND (playerSessionCount = 3 ": {47, "a ) is missing for the ( of character 23"},
		"()":                                   {2, "an operand is missing"},
		"AND":                                  {1, `"AND" is no operand`},
		"playerSessionCount=3 AND":             {25, "an operand is missing"},
		"playerSessionCount=3 OR OR":           {25, `"OR" is no operand`},
		"NOT":                                  {4, "an operand is missing"},
		"players=3":                            {1, `"players" is no operand`},
		"PlayerSessionCount=3":                 {1, `"PlayerSessionCount" is no operand`},
		"3=playerSessionCount":                 {1, `"3" is no operand`},
		"'playerSessionCount'=3":               {1, "an operand is missing"},
		"gameSessionName<'x'":                  {16, "takes only = and <>"},
		"gameSessionName >= 'x'":               {17, "takes only = and <>"},
		"gameSessionProperties.mode>'a'":       {27, "takes only = and <>"},
		"hasAvailablePlayerSessions<true":      {27, "takes only = and <>"},
		"hasAvailablePlayerSessions=1":         {28, "true or false"},
		"hasAvailablePlayerSessions='true'":    {28, "true or false"},
		"gameSessionName=x":                    {17, "a string in quotes"},
		"gameSessionName=3":                    {17, "a string in quotes"},
		"gameSessionName='x":                   {17, "no closing '"},
		`gameSessionName="x'`:                  {17, `no closing "`},
		`gameSessionName='x\'`:                 {17, "no closing '"},
		"gameSessionProperties.='x'":           {1, "empty or has a dot"},
		"gameSessionProperties.a.b='x'":        {1, "empty or has a dot"},
		"maximumSessions=1 AND a.b='x'":        {23, `"a.b" is no operand`},
		"gameSessionName='Größe' XOR a=1":      {25, `"XOR" is not expected here`}, // characters, not bytes
		"gameSessionName='日本語' AND 日本=1":       {27, `"日本" is no operand`},
		"gameSessionName='👍🏽' AND":             {25, "an operand is missing"},
		"gameSessionName='\xff\xfe' AND":       {25, "an operand is missing"},
		"gameSessionName='é' = 'x'":            {21, `"=" is not expected here`},
		strings.Repeat("(", 101):               {101, "nested too deep"},
		strings.Repeat("NOT ", 101) + "a=1":    {401, "nested too deep"},
		"playerSessionCount=3;":                {20, "compared with a number"},
		"playerSessionCount=3 # all of them":   {22, `"#" is not expected here`},
		"playerSessionCount=1e999":             {20, "compared with a number"},
		"playerSessionCount=3\u00a0\u2003ORR":  {23, `"ORR" is not expected here`},
		"playerSessionCount=3 'x'":             {22, `"x" is not expected here`},
		"playerSessionCount<>=3":               {21, "compared with a number"},
		"playerSessionCount!=3":                {1, `"playerSessionCount!" is no operand`},
		"NOT (playerSessionCount=3 AND":        {30, "an operand is missing"},
		"(playerSessionCount=3 AND NOT x=3)":   {31, `"x" is no operand`},
		"gameSessionProperties.größe>'x'":      {28, "takes only = and <>"},
		"gameSessionProperties.mode='a'='b'":   {31, `"=" is not expected here`},
		"gameSessionProperties.mode='a' 'b'":   {32, `"b" is not expected here`},
		"gameSessionProperties.mode=((('a')))": {28, "a string in quotes"},
	} {
		_, err := parseFilter(expression)
		wantSyntaxError(t, "FilterExpression", expression, err, want.character, want.says)
	}
}

func TestSortExpressionIsAnOperandAndADirection(t *testing.T) {
	small, large := subject(), subject()
	large.CurrentPlayerSessionCount, large.Name = 9, "Zoe's game"
	for expression, want := range map[string]int{
		"playerSessionCount":                -1,
		"playerSessionCount ASC":            -1,
		"playerSessionCount asc":            -1,
		"playerSessionCount DESC":           1,
		"  playerSessionCount\tdesc ":       1,
		"gameSessionName ASC":               -1,
		"gameSessionName DESC":              1,
		"gameSessionProperties.mode ASC":    0,
		"hasAvailablePlayerSessions DESC":   0,
		"gameSessionProperties.nosuch DESC": 0,
	} {
		by, err := parseSort(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := by.compare(by.key(small, 0), by.key(large, 0)); got != want {
			t.Errorf("%s: compares as %d, want %d", expression, got, want)
		}
	}
	for expression, want := range map[string]struct {
		character int
		says      string
	}{
		"ASC":                                 {1, `"ASC" is no operand`},
		"playerSessionCount UP":               {20, `"UP" is not expected here`},
		"playerSessionCount ASC DESC":         {24, `"DESC" is not expected here`},
		"playerSessionCount, maximumSessions": {1, `"playerSessionCount," is no operand`},
		"gameSessionProperties.a.b ASC":       {1, "empty or has a dot"},
		"'x'":                                 {1, "an operand is missing"},
		"'x":                                  {1, "no closing '"},
		"gameSessionProperties.größe  ÄSC":    {30, `"ÄSC" is not expected here`},
	} {
		_, err := parseSort(expression)
		wantSyntaxError(t, "SortExpression", expression, err, want.character, want.says)
	}
}

func TestNullsAreLastAndTiesInOrderOfTheirIDsEitherWay(t *testing.T) {
	game := func(id string, level string) *GameSession {
		g := &GameSession{ID: GameSessionID(id)}
		if level != "" {
			g.GameProperties = map[string]string{"level": level}
		}
		return g
	}
	games := []*GameSession{game("d", "2"), game("c", ""), game("f", "1"), game("a", ""), game("e", "3"), game("b", "2")}
	for expression, want := range map[string]string{
		"gameSessionProperties.level":      "f b d e a c",
		"gameSessionProperties.level ASC":  "f b d e a c",
		"gameSessionProperties.level DESC": "e b d f a c",
	} {
		by, err := parseSort(expression)
		if err != nil {
			t.Fatal(err)
		}
		sorted := slices.SortedFunc(slices.Values(games), func(x, y *GameSession) int { return by.compare(by.key(x, 0), by.key(y, 0)) })
		var ids []string
		for _, g := range sorted {
			ids = append(ids, string(g.ID))
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
}

// The condition of each node of the generated trees below is worked out in two ways: by the product from the tree's text, and here.
type tree struct {
	text  string
	holds func(*GameSession) bool
	// binding is how tightly the outermost operator binds: 0 OR, 1 AND, 2 NOT, 3 the rest.
	binding int
}

func (n tree) within(binding int) string {
	if n.binding < binding {
		return "(" + n.text + ")"
	}
	return n.text
}

func trees(depth int) *rapid.Generator[tree] {
	return rapid.Custom(func(t *rapid.T) tree {
		node := "comparison"
		if depth > 0 {
			node = rapid.SampledFrom([]string{"comparison", "or", "and", "not", "parentheses"}).Draw(t, "node")
		}
		space := rapid.SampledFrom([]string{" ", "  ", "\t", "\n "})
		child := func(name string) tree { return trees(depth-1).Draw(t, name) }
		switch node {
		case "or", "and":
			word, binding := rapid.SampledFrom([]string{"OR", "or", "Or"}).Draw(t, "word"), 0
			if node == "and" {
				word, binding = rapid.SampledFrom([]string{"AND", "and", "aNd"}).Draw(t, "word"), 1
			}
			left, right := child("left"), child("right")
			return tree{
				// An operand on the right of its like is put in parentheses or not: it makes no difference.
				text:    left.within(binding) + space.Draw(t, "space") + word + space.Draw(t, "space") + right.within(binding),
				binding: binding,
				holds: func(g *GameSession) bool {
					x, y := left.holds(g), right.holds(g)
					return node == "or" && (x || y) || node == "and" && x && y
				},
			}
		case "not":
			of := child("of")
			return tree{text: "NOT" + space.Draw(t, "space") + of.within(2), binding: 2, holds: func(g *GameSession) bool { return !of.holds(g) }}
		case "parentheses":
			of := child("of")
			return tree{text: "(" + of.text + ")", binding: 3, holds: of.holds}
		}
		return comparisons().Draw(t, "comparison")
	})
}

func comparisons() *rapid.Generator[tree] {
	return rapid.Custom(func(t *rapid.T) tree {
		comparator := rapid.SampledFrom([]string{"=", "<>", "<", ">", "<=", ">="})
		judge := func(how string, compared int) bool {
			return strings.Contains(how, "=") && compared == 0 || strings.Contains(how, "<") && compared < 0 || strings.Contains(how, ">") && compared > 0
		}
		switch rapid.SampledFrom([]string{"number", "text", "boolean"}).Draw(t, "type") {
		case "number":
			how, number := comparator.Draw(t, "comparator"), rapid.IntRange(-1, 5).Draw(t, "number")
			operand := rapid.SampledFrom([]string{"playerSessionCount", "maximumSessions"}).Draw(t, "operand")
			return tree{text: operand + how + strconv.Itoa(number), binding: 3, holds: func(g *GameSession) bool {
				value := map[string]int{"playerSessionCount": g.CurrentPlayerSessionCount, "maximumSessions": g.MaximumPlayerSessionCount}[operand]
				return judge(how, cmp.Compare(value, number))
			}}
		case "text":
			how := rapid.SampledFrom([]string{"=", "<>"}).Draw(t, "comparator")
			key, text := rapid.SampledFrom([]string{"a", "b", "ü"}).Draw(t, "key"), texts().Draw(t, "text")
			quote := rapid.SampledFrom([]string{"'", `"`}).Draw(t, "quote")
			quoted := quote + strings.NewReplacer(`\`, `\\`, quote, `\`+quote).Replace(text) + quote
			return tree{text: "gameSessionProperties." + key + " " + how + quoted, binding: 3, holds: func(g *GameSession) bool {
				value, has := g.GameProperties[key]
				return has && (value == text) == (how == "=")
			}}
		}
		how, wanted := rapid.SampledFrom([]string{"=", "<>"}).Draw(t, "comparator"), rapid.Bool().Draw(t, "wanted")
		return tree{text: "hasAvailablePlayerSessions " + how + " " + strconv.FormatBool(wanted), binding: 3, holds: func(g *GameSession) bool {
			return ((g.MaximumPlayerSessionCount > g.CurrentPlayerSessionCount) == wanted) == (how == "=")
		}}
	})
}

func texts() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.SampledFrom([]rune(`x'"\ ü`)), 0, 2, -1)
}

func TestFilterMeansWhatItsTreeMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := trees(4).Draw(t, "tree")
		matches, err := parseFilter(of.text)
		if err != nil {
			t.Fatalf("%s: %v", of.text, err)
		}
		game := &GameSession{
			CurrentPlayerSessionCount: rapid.IntRange(0, 4).Draw(t, "count"),
			MaximumPlayerSessionCount: rapid.IntRange(0, 4).Draw(t, "maximum"),
			GameProperties:            rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "ü"}), texts(), 0, 3).Draw(t, "properties"),
		}
		if got, want := matches(game), of.holds(game); got != want {
			t.Fatalf("%s\nkeeps %+v: %v, want %v", of.text, *game, got, want)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"", "playerSessionCount>=3 AND NOT (gameSessionName='x' OR hasAvailablePlayerSessions=true)", `gameSessionProperties.a="\"\\"`,
		"gameSessionProperties.größe<>'日本'", "((", "NOT NOT", "'\xff", "playerSessionCount=1e308", "=<>", "a\u2028=\u00a0'b'",
	} {
		f.Add(seed)
	}
	game := subject()
	f.Fuzz(func(t *testing.T, text string) {
		matches, err := parseFilter(text)
		if err != nil {
			wantPositionWithin(t, "FilterExpression", text, err)
			return
		}
		kept := matches(game)
		if strings.TrimSpace(text) == "" || strings.Count(text, "(") > 50 || strings.Count(strings.ToUpper(text), "NOT") > 50 {
			return
		}
		if opposite, err := parseFilter("NOT(" + text + ")"); err != nil || opposite(game) == kept {
			t.Errorf("%q keeps the game session: %v; NOT(…) does not keep the opposite (%v)", text, kept, err)
		}
	})
}

func FuzzSort(f *testing.F) {
	for _, seed := range []string{"", "playerSessionCount DESC", "gameSessionProperties.ü asc", "gameSessionName ASC ASC", "'", "(", "hasAvailablePlayerSessions"} {
		f.Add(seed)
	}
	one, other := subject(), &GameSession{ID: "other"}
	f.Fuzz(func(t *testing.T, text string) {
		by, err := parseSort(text)
		if err != nil {
			wantPositionWithin(t, "SortExpression", text, err)
			return
		}
		x, y := by.key(one, 1), by.key(other, 1)
		if by.compare(x, y) != -by.compare(y, x) || by.compare(x, x) != 0 || by.compare(x, y) == 0 {
			t.Errorf("%q does not order two game sessions", text)
		}
		seed, last, err := by.resume(by.position(1, x))
		if err != nil || seed != 1 || *last != x {
			t.Errorf("%q: a page token brings back %v of seed %d (%v), want %v", text, last, seed, err, x)
		}
	})
}

func wantSyntaxError(t *testing.T, member, expression string, err error, character int, says string) {
	t.Helper()
	if !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("%.80s: %v, want it refused", expression, err)
		return
	}
	if where := fmt.Sprintf("%s, character %d: ", member, character); !strings.HasPrefix(err.Error(), where) || !strings.Contains(err.Error(), says) {
		t.Errorf("%.80s:\n\t%v\n\twant %q and %q", expression, err, where, says)
	}
}

var characterIn = regexp.MustCompile(`^(\w+), character (\d+): .`)

// wantPositionWithin checks that an error names a character of the text, or the one behind its end.
func wantPositionWithin(t *testing.T, member, text string, err error) {
	t.Helper()
	match := characterIn.FindStringSubmatch(err.Error())
	if match == nil || match[1] != member || !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("%q: the error does not say where: %v", text, err)
		return
	}
	if position, _ := strconv.Atoi(match[2]); position < 1 || position > utf8.RuneCountInString(text)+1 {
		t.Errorf("%q: the error names character %d", text, position)
	}
}
