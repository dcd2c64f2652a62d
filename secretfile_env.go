package geminihook

import "strings"

// variableIn returns the value of the variable in a file of environment variables,
// as shells, Docker and the dotenv libraries read it. If several lines set it, the
// last one counts.
func variableIn(text, name string) (value string, ok bool) {
	for line := range strings.Lines(text) {
		if v, found := assigned(line, name); found {
			value, ok = v, true
		}
	}
	return value, ok
}

// assigned returns the value that a line sets the variable to. If it sets another
// variable or none, ok is false.
func assigned(line, name string) (value string, ok bool) {
	left, right, found := strings.Cut(line, "=")
	words := strings.Fields(left)
	if len(words) == 2 && words[0] == "export" {
		words = words[1:]
	}
	if !found || len(words) != 1 || words[0] != name {
		return "", false
	}
	return unquoteValue(strings.TrimSpace(right)), true
}

// unquoteValue removes quotation marks around a value, and a comment after it. A value
// with only one quotation mark remains as it is, and is refused later.
func unquoteValue(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		inside, after, closed := strings.Cut(value[1:], value[:1])
		after = strings.TrimSpace(after)
		if closed && (after == "" || after[0] == '#') {
			return inside
		}
		return value
	}
	for _, comment := range []string{" #", "\t#"} {
		value, _, _ = strings.Cut(value, comment)
	}
	return value
}
