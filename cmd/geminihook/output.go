package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	reset  = "\x1b[0m"
)

// terminal reports whether w is a terminal.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// paint colors the text on a terminal, unless NO_COLOR is set.
func (e *env) paint(color, text string) string {
	if !terminal(e.out) || e.getenv("NO_COLOR") != "" || e.getenv("TERM") == "dumb" {
		return text
	}
	return color + text + reset
}

// visible returns s with an escape such as \x1b in place of everything that a
// terminal acts on instead of showing it: control characters (C0, C1, and DEL),
// bidirectional controls and other invisible characters, and invalid UTF-8.
// Everything that comes from a delivery or a file name goes through it, because
// a stranger could otherwise rewrite what the terminal shows.
func visible(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// cut shortens s to at most n characters, which must be at least 3.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}

// plain returns the text of the error without the names of the packages, which
// tell the user of the command nothing.
func plain(err error) string {
	return strings.NewReplacer("geminihook: ", "", "webhooktest: ", "").Replace(err.Error())
}

// wrap makes the text visible and breaks it into lines of at most 80 columns.
func wrap(text, indent string) string {
	var b strings.Builder
	width := 81
	for word := range strings.FieldsSeq(text) {
		word = visible(word)
		length := utf8.RuneCountInString(word)
		if width+1+length > 80 {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(indent)
			width = len(indent) - 1
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(word)
		width += 1 + length
	}
	b.WriteByte('\n')
	return b.String()
}

const jsonHelp = "write one JSON object per line"

// line writes the value as a line of JSON. What a terminal would act on is
// escaped, because the output may end up on one.
func (e *env) line(v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // the URLs would be hard to read
	if err := encoder.Encode(v); err != nil {
		return err
	}
	var out bytes.Buffer
	for _, r := range text.String() {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	_, err := out.WriteTo(e.out)
	return err
}

// until formats a point in time.
func until(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
