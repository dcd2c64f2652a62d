package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// node is a JSON value that can be written in the styles of many encoders.
type node struct {
	text    string // of a scalar, as it arrived
	decoded string // of a string
	array   bool
	items   []*node
	object  bool
	members []member
}

type member struct {
	key   *node // a string
	value *node
}

const maxDepth = 32

// parseJSON returns nil if the text is not a JSON object or is nested too deeply.
func parseJSON(text []byte) *node {
	if !json.Valid(text) || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return nil
	}
	p := parser{text: text, tokens: json.NewDecoder(bytes.NewReader(text))}
	return p.value(0)
}

// parser keeps the text of scalars, which the tokens of a decoder do not have.
type parser struct {
	text   []byte // valid JSON
	tokens *json.Decoder
}

func (p *parser) value(depth int) *node {
	start := p.tokens.InputOffset()
	token, err := p.tokens.Token()
	if err != nil || depth > maxDepth {
		return nil
	}
	n := &node{}
	switch token {
	case json.Delim('{'):
		n.object = true
		for p.tokens.More() {
			m := member{p.value(depth + 1), p.value(depth + 1)}
			if m.key == nil || m.value == nil {
				return nil
			}
			n.members = append(n.members, m)
		}
	case json.Delim('['):
		n.array = true
		for p.tokens.More() {
			item := p.value(depth + 1)
			if item == nil {
				return nil
			}
			n.items = append(n.items, item)
		}
	default:
		n.text = strings.TrimLeft(string(p.text[start:p.tokens.InputOffset()]), " \t\r\n,:")
		n.decoded, _ = token.(string)
		return n
	}
	_, err = p.tokens.Token() // the closing bracket
	if err != nil {
		return nil
	}
	return n
}

// style is how an encoder writes JSON.
type style struct {
	comma, colon string
	indent       string // what each level adds to a line; empty puts all of it on one line
	end          string
	escapes      *escapes // nil leaves strings as they arrived
}

// escapes is how an encoder writes strings.
type escapes struct {
	special string // characters besides quotes, backslashes, and controls that it writes as \uXXXX
	slash   bool   // whether it writes / as \/
	ascii   bool   // whether it writes what is not ASCII as \uXXXX
	upper   bool   // whether the digits of \uXXXX are upper case
}

// append appends the value in the style.
func (n *node) append(b []byte, s *style, newline string) []byte {
	switch {
	case n.object:
		b = append(b, '{')
		for i, m := range n.members {
			b = s.separate(b, i, newline)
			b = append(m.key.append(b, s, ""), s.colon...)
			b = m.value.append(b, s, newline+s.indent)
		}
		return append(s.finish(b, len(n.members), newline), '}')
	case n.array:
		b = append(b, '[')
		for i, item := range n.items {
			b = item.append(s.separate(b, i, newline), s, newline+s.indent)
		}
		return append(s.finish(b, len(n.items), newline), ']')
	case s.escapes == nil || !strings.HasPrefix(n.text, `"`):
		return append(b, n.text...)
	}
	return s.escapes.append(b, n.decoded)
}

// separate begins item i of an object or array.
func (s *style) separate(b []byte, i int, newline string) []byte {
	if i > 0 {
		b = append(b, s.comma...)
	}
	if s.indent != "" {
		b = append(b, '\n')
		b = append(b, newline...)
		b = append(b, s.indent...)
	}
	return b
}

// finish ends an object or array of n items.
func (s *style) finish(b []byte, n int, newline string) []byte {
	if s.indent != "" && n > 0 {
		b = append(b, '\n')
		b = append(b, newline...)
	}
	return b
}

// append appends the string with quotes and escapes.
func (e *escapes) append(b []byte, text string) []byte {
	format := `\u%04x`
	if e.upper {
		format = `\u%04X`
	}
	b = append(b, '"')
	for _, r := range text {
		short := strings.IndexRune("\"\\\b\f\n\r\t", r)
		switch {
		case short >= 0:
			b = append(b, '\\', `"\bfnrt`[short])
		case r == '/' && e.slash:
			b = append(b, '\\', '/')
		case r > 0xffff && e.ascii:
			high, low := surrogates(r)
			b = fmt.Appendf(b, format+format, high, low)
		case r < ' ', r >= utf8.RuneSelf && e.ascii, strings.ContainsRune(e.special, r):
			b = fmt.Appendf(b, format, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

func surrogates(r rune) (high, low rune) {
	r -= 0x10000
	return 0xd800 + r>>10, 0xdc00 + r&0x3ff
}
