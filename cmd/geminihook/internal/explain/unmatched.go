package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// unmatched says what is known about a delivery that no guess made match. What
// rules out the body comes first, because a wrong secret is only the most likely
// cause if the body can be the original.
func unmatched(c *checker, d Delivery, others []Delivery) (Cause, string) {
	var whole json.RawMessage
	err := json.NewDecoder(bytes.NewReader(d.Body)).Decode(&whole)
	encoding := d.Header.Get("Content-Encoding")
	switch {
	case len(d.Body) == 0:
		return Empty, "The body is empty: something read it before, such as a middleware that logs it, or dropped it, as a redirect does."
	case int64(len(d.Body)) < d.Expected && err != nil:
		return Truncated, fmt.Sprintf("The body is truncated: %d of %d bytes arrived. The sender hung up, or something between cuts the body.",
			len(d.Body), d.Expected)
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return Compressed, "The header Content-Encoding says that something compressed the body, which Gemini does not do. Turn that off, " +
			"or decompress the body before it is verified."
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Truncated, fmt.Sprintf("The body is truncated: its JSON ends in the middle, after %d bytes. Something between the sender and "+
			"the program cuts it, such as a limit on its size.", len(d.Body))
	case !utf8.Valid(d.Body):
		return Replaced, fmt.Sprintf("The body is not UTF-8, first at byte %d, so it is not what Gemini sent: something decoded it and encoded it in another "+
			"character set, or cut a character in two.", firstInvalid(d.Body))
	case err != nil || !bytes.HasPrefix(bytes.TrimSpace(d.Body), []byte("{")):
		return NotJSON, "The body is not a JSON object, so it is not what Gemini sent: something replaced or encoded it."
	}
	if cause, text := otherLength(d); cause != "" {
		return cause, text
	}
	if n := bytes.Count(d.Body, []byte("\ufffd")); n > 0 {
		return Replaced, fmt.Sprintf("The body has the replacement character U+FFFD %d times, which a decoder puts in the place of bytes that it cannot "+
			"read: something decoded the body in another character set than UTF-8, and what it replaced is lost.",
			n)
	}
	if mended := mendTimestamp(d.Header); len(mended) > 0 { // before its time is taken for seconds
		s := mended[0].steps[0]
		return s.cause, "The signature does not match even after " + s.what +
			", but certainly " + s.why + "."
	}
	if away, ok := impossible(d); ok {
		return OtherBody, fmt.Sprintf("The body is of another delivery: its event happened %s the time in webhook-timestamp, "+
			"and Google makes no attempt before the event or later than 24 hours after it. Something mixed up headers and bodies.",
			away)
	}
	if c.works(others) {
		return OtherWebhook, "The same secrets or keys verify another of these deliveries, but not this one, whatever usual change of the body is " +
			"undone: it is from another webhook, whose secret is missing here, or its body was replaced."
	}
	if rounded(d.Body) {
		return Numbers, "The body has a number that is too large for a floating-point number, written as one: something decoded the JSON and " +
			"encoded it again, and the digits that it left out are lost. Verify the body as it arrives. If the numbers are right, it is the secret."
	}
	if questioned(d.Body) {
		return Replaced, "The body has question marks inside words and no characters outside of ASCII: something encoded it in a character set that lacks " +
			"some of its letters, which are lost. Verify the body as it arrives. If the text is right, it is the secret."
	}
	if hasEntry(d.Header, "v1") && len(c.secrets) > 1 {
		return Secret, fmt.Sprintf("None of the secrets %s made the signature, whatever usual change of the body is undone: the delivery is from "+
			"another webhook, its secret was rotated, or the body was replaced. Compare their last four characters with truncated_secret in "+
			"Google's list of webhooks: if none of them is there, it is the secret. %s", c.names(),
			equalName)
	}
	if hasEntry(d.Header, "v1") && len(c.secrets) > 0 {
		return Secret, fmt.Sprintf("The secret %s did not make the signature, whatever usual change of the body is undone: it belongs to "+
			"another webhook, was rotated, or the body was replaced. Compare its last four characters with truncated_secret in Google's "+
			"list of webhooks: if they differ, it is the secret. %s", c.names(), equalName)
	}
	return Forged, "None of the public keys made the signature, whatever usual change of the body is undone: the delivery is forged, " +
		"or it was signed with a key that is not in this key set."
}

// firstInvalid returns the index of the first byte that is not part of UTF-8.
func firstInvalid(b []byte) (at int) {
	for at < len(b) {
		r, size := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

var insideWord = regexp.MustCompile(`"[^"=:/?]*[A-Za-z]\?+[A-Za-z][^"]*"`)

// questioned reports whether the body looks as if letters had become question marks.
func questioned(b []byte) bool {
	ascii := bytes.IndexFunc(b, func(r rune) bool { return r > unicode.MaxASCII }) < 0
	return ascii && insideWord.Match(b)
}

// equalName says what does not follow from the name of a secret.
const equalName = "If they are the same, it may be the secret nonetheless, damaged before them: rotate it and copy the new one completely."

// impossible reports whether the event of the body cannot have been delivered at
// the time in the header, with a margin of a day. It returns how far away it is.
func impossible(d Delivery) (string, bool) {
	var body struct{ Timestamp time.Time }
	sent := sentAt(d.Header)
	if json.Unmarshal(d.Body, &body) != nil || body.Timestamp.IsZero() || sent.IsZero() {
		return "", false
	}
	switch late := sent.Sub(body.Timestamp); {
	case late < -time.Hour:
		return (-late).Round(time.Second).String() + " after", true
	case late > 48*time.Hour:
		return fmt.Sprintf("%.0f days before", late.Hours()/24), true
	}
	return "", false
}
