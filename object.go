package geminihook

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// object is the text of one valid JSON object. Its fields are slices of it, so
// that an event is decoded in one pass without copying, by the exact name
// (encoding/json ignores case), and with no Go type that a value may not fit.
type object []byte

// field is a wanted field, found under its snake_case name or, failing that,
// the same name in lowerCamelCase. The value is nil if there is none.
type field struct {
	name  string
	value json.RawMessage
	camel bool
}

// asObject returns the text of a valid JSON value as an object, if it is one.
func asObject(v json.RawMessage) (object, bool) {
	if len(v) == 0 || v[0] != '{' {
		return nil, false
	}
	return object(v), true
}

// pick fills in the wanted fields. Of a field that is repeated the last counts,
// as in encoding/json.
func (o object) pick(wanted []field) {
	if len(o) == 0 {
		return
	}
	for i := 1 + space(o[1:]); o[i] != '}'; { // past '{' or ','
		key := o[i : i+length(o[i:])]
		i += len(key)
		i += space(o[i:]) + 1 // past ':'
		i += space(o[i:])
		n := length(o[i:])
		offer(wanted, key, json.RawMessage(o[i:i+n:i+n]))
		i += n
		i += space(o[i:])
		if o[i] == ',' {
			i += 1 + space(o[i+1:])
		}
	}
}

func offer(wanted []field, key []byte, value json.RawMessage) {
	name := key[1 : len(key)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(unquote(key))
	}
	for i := range wanted {
		f := &wanted[i]
		switch {
		case string(name) == f.name:
			f.value, f.camel = value, false
		case (f.value == nil || f.camel) && isCamel(name, f.name):
			f.value, f.camel = value, true
		}
	}
}

// isCamel says whether name is the lowerCamelCase of snake.
func isCamel(name []byte, snake string) bool {
	n, upper := 0, false
	for i := range len(snake) {
		c := snake[i]
		if c == '_' {
			upper = true
			continue
		}
		if upper {
			c, upper = c-'a'+'A', false
		}
		if n == len(name) || name[n] != c {
			return false
		}
		n++
	}
	return n == len(name)
}

// space counts the white space that b starts with.
func space(b []byte) int {
	n := 0
	for n < len(b) && (b[n] == ' ' || b[n] == '\t' || b[n] == '\r' || b[n] == '\n') {
		n++
	}
	return n
}

// length is that of the valid JSON value that b starts with.
func length(b []byte) int {
	for depth, i := 0, 0; i < len(b); {
		switch b[i] {
		case '"':
			i += stringLength(b[i:])
		case '{', '[':
			depth++
			i++
		case '}', ']', ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i // the end of a number, true, false or null
			}
			if b[i] == '}' || b[i] == ']' {
				depth--
			}
			i++
		default:
			i++
			continue // inside a number, true, false or null
		}
		if depth == 0 {
			return i
		}
	}
	return len(b)
}

// stringLength is that of the JSON string that b starts with.
func stringLength(b []byte) int {
	for i := 1; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// unquote returns the text of a JSON string.
func unquote(v []byte) string {
	if inner := v[1 : len(v)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(v, &s) // cannot fail: v is a valid JSON string
	return s
}

// text is a string or a number as text, and "" for any other value.
func text(v json.RawMessage) string {
	switch {
	case len(v) == 0:
		return ""
	case v[0] == '"':
		return unquote(v)
	case v[0] == '-' || v[0] >= '0' && v[0] <= '9':
		return string(v)
	}
	return ""
}
