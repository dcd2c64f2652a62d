package envfile

import (
	"bytes"
	"errors"
	"strings"
)

// mark is the byte order mark that some editors of Windows write before UTF-8.
var mark = []byte("\ufeff")

// Check returns an error if the text of a file is not in an encoding in which the names
// of variables are ASCII. A line of another encoding would go unnoticed, or be damaged.
func Check(text []byte) error {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) ||
		everySecondZero(text) {
		return errors.New("is encoded in UTF-16 or UTF-32, at least in part: save it as UTF-8")
	}
	return nil
}

// everySecondZero reports whether there are three characters of ASCII in UTF-16, or two
// in UTF-32. In Windows PowerShell, >> adds such lines to a file of another encoding.
func everySecondZero(text []byte) bool {
	for i := range max(0, len(text)-4) {
		if text[i] == 0 && text[i+2] == 0 && text[i+4] == 0 {
			return true
		}
	}
	return false
}

// Value is [Get] for the text of a file.
func Value(text []byte, name string) (value string) {
	for line := range bytes.Lines(bytes.TrimPrefix(text, mark)) {
		if _, v, ok := parse(string(line), name); ok {
			value = v
		}
	}
	return value
}

// set returns the text with a line for the variable in the place of its first
// one, or at the end.
func set(text []byte, name, value string) []byte {
	var out bytes.Buffer
	newline := lineEnd(text)
	text, marked := bytes.CutPrefix(text, mark)
	if marked {
		out.Write(mark)
	}
	done := false
	for line := range bytes.Lines(text) {
		prefix, _, ok := parse(string(line), name)
		switch {
		case !ok:
			out.Write(line)
		case !done:
			out.WriteString(prefix + name + "=" + value + newline)
			done = true
		}
	}
	if !done {
		if len(text) > 0 && text[len(text)-1] != '\n' {
			out.WriteString(newline)
		}
		out.WriteString(name + "=" + value + newline)
	}
	return out.Bytes()
}

// lineEnd returns what ends the lines of the text.
func lineEnd(text []byte) string {
	if bytes.Contains(text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// parse reads a line that sets the variable, perhaps after "export".
func parse(line, name string) (prefix, value string, ok bool) {
	rest := strings.TrimLeft(line, " \t")
	if after, found := strings.CutPrefix(rest, "export"); found &&
		strings.TrimLeft(after, " \t") != after {
		rest = strings.TrimLeft(after, " \t")
	}
	prefix = line[:len(line)-len(rest)]
	after, found := strings.CutPrefix(rest, name)
	after = strings.TrimLeft(after, " \t")
	value, ok = strings.CutPrefix(after, "=")
	if !found || !ok {
		return "", "", false
	}
	return prefix, unquote(strings.TrimSpace(value)), true
}

// unquote removes quotation marks, and a comment that follows white space.
func unquote(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		inside, after, closed := strings.Cut(value[1:], value[:1])
		if after = strings.TrimSpace(after); closed && (after == "" || after[0] == '#') {
			return inside
		}
		return value
	}
	if i := strings.IndexAny(value, " \t"); i >= 0 &&
		strings.HasPrefix(strings.TrimLeft(value[i:], " \t"), "#") {
		return value[:i]
	}
	return value
}
