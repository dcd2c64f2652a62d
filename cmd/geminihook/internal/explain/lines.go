package explain

import (
	"bytes"
	"fmt"
	"math/bits"
)

// maxLines is the largest number of line endings any of which may have been changed.
const maxLines = 10

var alike = step{
	LineEndings, "changing some of the line endings of the body, but not all",
	"something made them all alike, as Git does with recordings; keep these as they are, with \"*.http -text\" in .gitattributes",
}

// searchLineEndings gives each line ending either form: where a body had both, something
// made them alike.
func searchLineEndings(c *checker, heads []head, d Delivery, _ []Delivery) (match, bool) {
	text := bytes.ReplaceAll(d.Body, []byte("\r\n"), []byte("\n"))
	lines := bytes.Split(text, []byte("\n"))
	n := len(lines) - 1
	if n < 2 || n > maxLines || len(text) > maxReencoded {
		return match{}, false
	}
	for withCR := range uint(1) << n { // a bit for each line ending
		length := len(text) + bits.OnesCount(withCR)
		if d.Expected > 0 && d.Expected != int64(len(d.Body)) && d.Expected != int64(length) {
			continue
		}
		var body []byte
		for i, line := range lines[:n] {
			body = append(body, line...)
			if withCR>>i&1 == 1 {
				body = append(body, '\r')
			}
			body = append(body, '\n')
		}
		body = append(body, lines[n]...)
		if found, ok := c.find(heads, candidate{body, []step{alike}}); ok {
			return found, true
		}
	}
	return match{}, false
}

// otherLength says what is known about a body whose JSON is complete, although it is not
// as long as its Content-Length. It returns "" if nothing is.
func otherLength(d Delivery) (Cause, string) {
	missing := d.Expected - int64(len(d.Body))
	crlf := bytes.Count(d.Body, []byte("\r\n"))
	lf := bytes.Count(d.Body, []byte("\n")) - crlf
	lengths := fmt.Sprintf("The body has %d bytes, but its Content-Length is %d",
		len(d.Body), d.Expected)
	switch {
	case d.Expected <= 0 || missing == 0:
		return "", ""
	case (missing > 0 && missing <= int64(lf)) || (missing < 0 && -missing <= int64(crlf)):
		return LineEndings, lengths + ": its line endings were changed, as Git does with recordings. Record the delivery again, " +
			"and keep the files as they are, with \"*.http -text\" in .gitattributes. If it is not accepted then, there is another cause."
	case missing < 0:
		return "", ""
	}
	return Spacing, lengths + ", and its JSON is complete: something changed its white space or how characters are encoded."
}
