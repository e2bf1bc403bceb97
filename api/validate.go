package api

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"

	"github.com/berthgg/berth/allocator"
)

// patterns of the service model, by the name that a validate tag gives them. A value must match as a whole.
var patterns = map[string]*regexp.Regexp{
	"gameSessionId":   regexp.MustCompile(`^[a-zA-Z0-9:/-]+$`),
	"playerSessionId": regexp.MustCompile(`^psess-\S+$`),
	"fleetIdOrArn":    regexp.MustCompile(`^[a-z]*fleet-[a-zA-Z0-9\-]+$|^arn:.*:[a-z]*fleet/[a-z]*fleet-[a-zA-Z0-9\-]+$`),
	"aliasIdOrArn":    regexp.MustCompile(`^alias-\S+$|^arn:.*:alias/alias-\S+$`),
	"aliasName":       regexp.MustCompile(`(?s)^.*\S.*$`),
	"locationOrArn":   regexp.MustCompile(`^custom-[A-Za-z0-9\-]+$|^arn:.*:location/custom-\S+$`),
	"computeOrArn":    regexp.MustCompile(`^[a-zA-Z0-9\-]+(/[a-zA-Z0-9\-]+)?$|^arn:.*:compute/[a-zA-Z0-9\-]+(/[a-zA-Z0-9\-]+)?$`),
	"queueName":       regexp.MustCompile(`^[a-zA-Z0-9-]+$`),
	"queueNameOrArn":  regexp.MustCompile(`^[a-zA-Z0-9-]+$|^arn:.*:gamesessionqueue/[a-zA-Z0-9-]+$`),
	"destinationArn":  regexp.MustCompile(`^[a-zA-Z0-9:/-]+$`),
	"notification":    regexp.MustCompile(`^[a-zA-Z0-9:_-]*(\.fifo)?$`),
	"buildIdOrArn":    regexp.MustCompile(`^build-\S+|^arn:.*:build/build-\S+`),
	"scriptIdOrArn":   regexp.MustCompile(`^script-\S+|^arn:.*:script/script-\S+`),
	"token":           regexp.MustCompile(`^[a-zA-Z0-9-]+$`),
	"fleetName":       regexp.MustCompile(`^[a-zA-Z0-9.-]+$`),
	"location":        regexp.MustCompile(`^[A-Za-z0-9\-]+$`),
	"customLocation":  regexp.MustCompile(`^custom-[A-Za-z0-9\-]+$`),
	"computeName":     regexp.MustCompile(`^[a-zA-Z0-9\-]+(/[a-zA-Z0-9\-]+)?$`),
	"dnsName":         regexp.MustCompile(`^[0-9a-zA-Z_\-.]+$`),
	"ipAddress":       regexp.MustCompile(`^[0-9A-Fa-f:.]+$`),
	"cost":            regexp.MustCompile(`^\d{1,5}(?:\.\d{1,5})?$`),
}

// matchers tell whether a text matches a pattern. One that is a class of characters, repeated, is looked up in a table, which takes
// a fraction of the time of a regular expression.
var matchers = func() map[string]func(string) bool {
	repeatedClass := regexp.MustCompile(`^\^\[[^]]+\]\+\$$`)
	all := make(map[string]func(string) bool, len(patterns))
	for name, pattern := range patterns {
		all[name] = pattern.MatchString
		if repeatedClass.MatchString(pattern.String()) {
			all[name] = ofClass(func(c rune) bool { return pattern.MatchString(string(c)) })
		}
	}
	return all
}()

// ofClass matches texts of ASCII characters that are in a class, one at least.
func ofClass(class func(rune) bool) func(string) bool {
	var in [utf8.RuneSelf]bool
	for c := range in {
		in[c] = class(rune(c))
	}
	return func(text string) bool {
		for i := range len(text) {
			if text[i] >= utf8.RuneSelf || !in[text[i]] {
				return false
			}
		}
		return text != ""
	}
}

// constraints checks the validate tags of input shapes. String lengths count characters.
var constraints = func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(field reflect.StructField) string { return field.Tag.Get("wire") }) // where it is not the name of the field
	err := v.RegisterValidation("pattern", func(field validator.FieldLevel) bool {
		return matchers[field.Param()](field.Field().String())
	})
	if err != nil {
		panic(err)
	}
	return v
}()

// validate fails with ErrInvalidRequest, naming every member that breaks a constraint and the constraint.
func validate(input any) error {
	err := constraints.Struct(input)
	if err == nil {
		return nil
	}
	var broken validator.ValidationErrors
	if !errors.As(err, &broken) {
		return err
	}
	const most = 10 // a caller with more to mend sees the rest next time
	messages := make([]string, min(most, len(broken)))
	for i := range messages {
		messages[i] = explain(broken[i])
	}
	return invalid("%s", strings.Join(messages, "; "))
}

func explain(broken validator.FieldError) string {
	member := memberAt(broken.Namespace())
	limit := broken.Param()
	switch broken.Tag() {
	case "required":
		return member + " is missing; it is required"
	case "min":
		return fmt.Sprintf("%s %s; the minimum is %s", member, size(broken.Value()), limit)
	case "max":
		return fmt.Sprintf("%s %s; the maximum is %s", member, size(broken.Value()), limit)
	case "oneof":
		return fmt.Sprintf("%s is %q; it must be one of %s", member, broken.Value(), strings.Join(strings.Fields(limit), ", "))
	case "unique":
		return member + " has a member twice; give each once"
	case "pattern":
		return fmt.Sprintf("%s does not match the pattern %s", member, patterns[limit])
	}
	return fmt.Sprintf("%s breaks the constraint %s %s", member, broken.Tag(), limit)
}

// memberAt returns the path of a member from one that begins with what Go has around it: the package, the type of the input, the type
// of a struct that is embedded in it. Those begin in lower case, members do not.
func memberAt(path string) string {
	for {
		first, rest, more := strings.Cut(path, ".")
		if !more || !unicode.IsLower(rune(first[0])) {
			return path
		}
		path = rest
	}
}

// size says how large a value is, in the unit that its limits have.
func size(value any) string {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("has %d characters", utf8.RuneCountInString(v.String()))
	case reflect.Slice, reflect.Map:
		return fmt.Sprintf("has %d members", v.Len())
	}
	return fmt.Sprintf("is %v", value)
}

func invalid(format string, args ...any) error {
	return &allocator.Error{Kind: allocator.ErrInvalidRequest, Message: fmt.Sprintf(format, args...)}
}
