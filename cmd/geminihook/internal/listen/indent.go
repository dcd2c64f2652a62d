package listen

import (
	"bytes"
	"encoding/json"
)

const maxIndented = 2 * maxShown // bytes

// indent indents JSON. The lines after the first begin with prefix. It returns ""
// if the text is not JSON or if the result would be longer than maxIndented: a
// stranger's 20 KB of nested brackets would become 200 MB.
func indent(text []byte, prefix, by string) string {
	var b bytes.Buffer
	if indentedSize(text, len(prefix), len(by)) > maxIndented ||
		json.Indent(&b, text, prefix, by) != nil {
		return ""
	}
	return b.String()
}

// indentedSize returns how many bytes JSON may have once it is indented.
func indentedSize(text []byte, prefix, by int) int {
	size, depth, quoted, escaped := len(text), 0, false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			size += 1 + prefix + depth*by
		case c == '}' || c == ']':
			depth--
			size += 1 + prefix + depth*by
		case c == ',':
			size += 1 + prefix + depth*by
		case c == ':':
			size++
		}
	}
	return size
}
