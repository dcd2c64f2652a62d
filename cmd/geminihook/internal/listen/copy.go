package listen

import (
	"fmt"
	"go/format"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/geminihook/geminihook/webhooktest"
)

// asCurl returns a command for a POSIX shell that sends the delivery unchanged.
// Whatever a stranger has put into it reaches neither the shell nor, through the
// clipboard, the terminal as anything but text.
func asCurl(d *webhooktest.Delivery, target string) string {
	var b strings.Builder
	body := string(d.Body)
	data := "--data-raw " + quote(body) // which reads no file, whatever the body begins with
	if !printable(body) {
		fmt.Fprintf(&b, "printf '%s' |\n", octal(body))
		data = "--data-binary @-"
	}
	fmt.Fprintf(&b, "curl -i %s \\\n", quote(target))
	for _, name := range slices.Sorted(maps.Keys(d.Header)) {
		for _, value := range d.Header[name] {
			line := strings.ToLower(name) + ": " + value
			if value == "" {
				line = strings.ToLower(name) + ";" // curl's form of an empty header
			}
			if printable(line) {
				fmt.Fprintf(&b, "  -H %s \\\n", quote(line))
			} else {
				fmt.Fprintf(&b, "  -H \"$(printf '%s')\" \\\n", octal(line))
			}
		}
	}
	fmt.Fprintf(&b, "  %s\n", data)
	return b.String()
}

// quote quotes a word for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// printable reports whether a terminal shows all of s as it is.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !strconv.IsPrint(r) && r != '\n' {
			return false
		}
	}
	return true
}

// octal returns s as the format of a POSIX printf, inside single quotes.
func octal(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%':
			b.WriteString("%%")
		case c < ' ' || c > '~' || c == '\'' || c == '\\':
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// asGoTest returns the source of a test that delivers the body. It signs it
// afresh with the test secret, because the signature that arrived is too old
// soon, and the secret belongs in no source.
func asGoTest(d *webhooktest.Delivery) string {
	body := strconv.Quote(string(d.Body))
	// Text that is not printable, such as bidirectional controls, would not be seen.
	if strconv.CanBackquote(string(d.Body)) && printable(string(d.Body)) {
		body = "`" + string(d.Body) + "`"
	}
	source := fmt.Sprintf(goTest, strconv.Quote(d.ID()), body)
	if formatted, err := format.Source([]byte(source)); err == nil {
		return string(formatted)
	}
	return source
}

// goTest is the source, which takes the id and the body. Neither is in a
// comment, which it could end.
const goTest = `package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

func TestRecordedDelivery(t *testing.T) {
	handler := newHandler(webhooktest.TestSecret) // your program's handler, with this secret

	delivery := webhooktest.NewBody([]byte(%[2]s))
	delivery.SetID(%[1]s)
	delivery.Sign(time.Now(), webhooktest.Static(webhooktest.TestSecret))

	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, delivery.Request("/gemini"))
	if recorder.Code != http.StatusOK {
		t.Errorf("status %%d, want 200", recorder.Code)
	}
}
`
