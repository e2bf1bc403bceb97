package allocator

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The language of FilterExpression and SortExpression.
//
//	filter     = [ or ]
//	or         = and { OR and }
//	and        = not { AND not }
//	not        = NOT not | "(" or ")" | comparison
//	comparison = operand ( "=" | "<>" | "<" | ">" | "<=" | ">=" ) value
//	value      = string in single or double quotes, with backslash escapes | number | true | false
//	sort       = [ operand [ ASC | DESC ] ]
//
// Keywords may be in any case; operands and strings are as they are. Texts and booleans take only "=" and "<>".

// maxNesting is how deep parentheses and NOTs may go.
const maxNesting = 100

// operand is what a game session is found or sorted by.
type operand struct {
	name string
	// value returns a string, float64 or bool, of the operand's one type, or nil when the game session has none.
	value func(*GameSession) any
	kind  string // of value, in words: "text", "number" or "boolean"
}

var operands = map[string]operand{
	"gameSessionId": {kind: "text", value: func(g *GameSession) any { return string(g.ID) }},
	"gameSessionName": {kind: "text", value: func(g *GameSession) any {
		if g.Name == "" {
			return nil
		}
		return g.Name
	}},
	"maximumSessions":    {kind: "number", value: func(g *GameSession) any { return float64(g.MaximumPlayerSessionCount) }},
	"creationTimeMillis": {kind: "number", value: func(g *GameSession) any { return float64(g.CreationTime.UnixMilli()) }},
	"playerSessionCount": {kind: "number", value: func(g *GameSession) any { return float64(g.CurrentPlayerSessionCount) }},
	"hasAvailablePlayerSessions": {kind: "boolean", value: func(g *GameSession) any {
		return g.CurrentPlayerSessionCount < g.MaximumPlayerSessionCount
	}},
}

const propertyOperand = "gameSessionProperties."

// token is a word of an expression.
type token struct {
	kind  tokenKind
	text  string // of a string, what the quotes hold
	start int    // position of its first character, from 1
}

type tokenKind int

const (
	endToken tokenKind = iota
	wordToken
	stringToken
	comparatorToken
	parenthesisToken
)

// expression is a text being parsed.
type expression struct {
	member string // of the input, for messages
	text   string
	tokens []token
	next   int
	depth  int
}

func (e *expression) fail(position int, format string, args ...any) error {
	return failure(ErrInvalidRequest, e.member+", character "+strconv.Itoa(position)+": "+format, args...)
}

// scan splits the text into tokens, the last of which is the end.
func (e *expression) scan() error {
	position := 1
	for rest := e.text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		start := position
		add := func(kind tokenKind, text string, bytes int) {
			e.tokens = append(e.tokens, token{kind, text, start})
			position += utf8.RuneCountInString(rest[:bytes])
			rest = rest[bytes:]
		}
		switch {
		case unicode.IsSpace(r):
			position++
			rest = rest[size:]
		case r == '(' || r == ')':
			add(parenthesisToken, string(r), size)
		case strings.HasPrefix(rest, "<>") || strings.HasPrefix(rest, "<=") || strings.HasPrefix(rest, ">="):
			add(comparatorToken, rest[:2], 2)
		case r == '<' || r == '>' || r == '=':
			add(comparatorToken, string(r), size)
		case r == '\'' || r == '"':
			text, bytes, ok := unquote(rest, byte(r))
			if !ok {
				return e.fail(start, "the string that begins here has no closing %c", r)
			}
			add(stringToken, text, bytes)
		default:
			end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("()<>='\"", r) })
			if end < 0 {
				end = len(rest)
			}
			add(wordToken, rest[:end], end)
		}
	}
	e.tokens = append(e.tokens, token{endToken, "", position})
	return nil
}

// unquote reads a quoted string at the beginning of text: what it holds, and how many bytes it takes with its quotes.
func unquote(text string, quote byte) (held string, bytes int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case text[i] == quote:
			return b.String(), i + 1, true
		default:
			b.WriteByte(text[i])
		}
	}
	return "", 0, false
}

func (e *expression) peek() token { return e.tokens[e.next] }

func (e *expression) take() token {
	t := e.tokens[e.next]
	if t.kind != endToken {
		e.next++
	}
	return t
}

// takeWord takes the next token if it is that keyword.
func (e *expression) takeWord(word string) bool {
	if t := e.peek(); t.kind == wordToken && strings.EqualFold(t.text, word) {
		e.next++
		return true
	}
	return false
}

// filter tells whether a game session is to be found.
type filter func(*GameSession) bool

// parseFilter makes a filter of a FilterExpression. It fails with ErrInvalidRequest, saying where and why.
func parseFilter(text string) (filter, error) {
	if strings.TrimSpace(text) == "" {
		return func(*GameSession) bool { return true }, nil
	}
	e := &expression{member: "FilterExpression", text: text}
	if err := e.scan(); err != nil {
		return nil, err
	}
	f, err := e.or()
	if err != nil {
		return nil, err
	}
	if t := e.peek(); t.kind != endToken {
		return nil, e.fail(t.start, "%q is not expected here; AND, OR or the end is", t.text)
	}
	return f, nil
}

func (e *expression) or() (filter, error) {
	f, err := e.and()
	for err == nil && e.takeWord("OR") {
		left := f
		var right filter
		right, err = e.and()
		f = func(g *GameSession) bool { return left(g) || right(g) }
	}
	return f, err
}

func (e *expression) and() (filter, error) {
	f, err := e.not()
	for err == nil && e.takeWord("AND") {
		left := f
		var right filter
		right, err = e.not()
		f = func(g *GameSession) bool { return left(g) && right(g) }
	}
	return f, err
}

func (e *expression) not() (filter, error) {
	if e.depth++; e.depth > maxNesting {
		return nil, e.fail(e.peek().start, "it is nested too deep; the maximum is %d", maxNesting)
	}
	defer func() { e.depth-- }()
	if e.takeWord("NOT") {
		f, err := e.not()
		return func(g *GameSession) bool { return !f(g) }, err
	}
	t := e.peek()
	if t.kind != parenthesisToken || t.text != "(" {
		return e.comparison()
	}
	e.take()
	f, err := e.or()
	if err != nil {
		return nil, err
	}
	if closing := e.take(); closing.kind != parenthesisToken || closing.text != ")" {
		return nil, e.fail(closing.start, "a ) is missing for the ( of character %d", t.start)
	}
	return f, nil
}

func (e *expression) operand() (operand, error) {
	t := e.take()
	if t.kind != wordToken {
		return operand{}, e.fail(t.start, "an operand is missing, such as playerSessionCount")
	}
	if key, ok := strings.CutPrefix(t.text, propertyOperand); ok {
		if key == "" || strings.Contains(key, ".") {
			return operand{}, e.fail(t.start, "%q is not a game property that can be searched: its key is empty or has a dot in it", t.text)
		}
		return operand{name: t.text, kind: "text", value: func(g *GameSession) any {
			if value, ok := g.GameProperties[key]; ok {
				return value
			}
			return nil
		}}, nil
	}
	known, ok := operands[t.text]
	if !ok {
		return operand{}, e.fail(t.start, "%q is no operand; there are gameSessionId, gameSessionName, gameSessionProperties.<key>, maximumSessions, creationTimeMillis, playerSessionCount and hasAvailablePlayerSessions", t.text)
	}
	known.name = t.text
	return known, nil
}

func (e *expression) comparison() (filter, error) {
	of, err := e.operand()
	if err != nil {
		return nil, err
	}
	comparator := e.take()
	if comparator.kind != comparatorToken {
		return nil, e.fail(comparator.start, "a comparator is missing: =, <>, <, >, <= or >=")
	}
	value := e.take()
	var wanted any
	switch of.kind {
	case "text":
		if value.kind != stringToken {
			return nil, e.fail(value.start, "%s is compared with a string in quotes", of.name)
		}
		wanted = value.text
	case "number":
		number, err := strconv.ParseFloat(value.text, 64) // which takes NaN, Inf and hexadecimal numbers, too
		if value.kind != wordToken || err != nil || strings.Trim(value.text, "0123456789+-.eE") != "" {
			return nil, e.fail(value.start, "%s is compared with a number", of.name)
		}
		return compareNumbers(of, comparator.text, number), nil
	case "boolean":
		if value.kind != wordToken || !strings.EqualFold(value.text, "true") && !strings.EqualFold(value.text, "false") {
			return nil, e.fail(value.start, "%s is compared with true or false", of.name)
		}
		wanted = strings.EqualFold(value.text, "true")
	}
	switch comparator.text {
	case "=":
		return func(g *GameSession) bool { return of.value(g) == wanted }, nil
	case "<>":
		return func(g *GameSession) bool { has := of.value(g); return has != nil && has != wanted }, nil
	}
	return nil, e.fail(comparator.start, "%s is a %s and takes only = and <>", of.name, of.kind)
}

func compareNumbers(of operand, comparator string, wanted float64) filter {
	number := func(g *GameSession) float64 { return of.value(g).(float64) }
	switch comparator {
	case "=":
		return func(g *GameSession) bool { return number(g) == wanted }
	case "<>":
		return func(g *GameSession) bool { return number(g) != wanted }
	case "<":
		return func(g *GameSession) bool { return number(g) < wanted }
	case ">":
		return func(g *GameSession) bool { return number(g) > wanted }
	case "<=":
		return func(g *GameSession) bool { return number(g) <= wanted }
	default:
		return func(g *GameSession) bool { return number(g) >= wanted }
	}
}

// parseSort makes an order of a SortExpression. It fails with ErrInvalidRequest, saying where and why.
func parseSort(text string) (order, error) {
	if strings.TrimSpace(text) == "" {
		return order{}, nil
	}
	e := &expression{member: "SortExpression", text: text}
	if err := e.scan(); err != nil {
		return order{}, err
	}
	by, err := e.operand()
	if err != nil {
		return order{}, err
	}
	descending := e.takeWord("DESC")
	if !descending {
		e.takeWord("ASC")
	}
	if t := e.peek(); t.kind != endToken {
		return order{}, e.fail(t.start, "%q is not expected here; ASC, DESC or the end is", t.text)
	}
	return order{&by, descending}, nil
}
