package explain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// head is a header that may be the original one.
type head struct {
	header http.Header
	steps  []step
}

// missing says which of the webhook headers are missing, if any.
func missing(header http.Header) string {
	var names []string
	for _, name := range []string{headerID, headerTimestamp, headerSignature} {
		if strings.Join(header[name], "") == "" {
			names = append(names, strings.ToLower(name))
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 3:
		return "The headers webhook-id, webhook-timestamp, and webhook-signature are missing: the request is not a delivery " +
			"(but perhaps a browser or a health check), or a proxy drops them. Allow them in the proxy."
	}
	return fmt.Sprintf("The header %s is missing: something drops it on the way. Allow all three webhook- headers in the proxy.",
		strings.Join(names, " and the header "))
}

// mendings returns the header as it arrived, followed by what it may have been.
func mendings(header http.Header) []head {
	heads := []head{{header: header}}
	for _, mend := range []func(http.Header) []head{
		repeated(headerID), repeated(headerTimestamp), mendTimestamp, mendSignature,
	} {
		for _, h := range heads {
			for _, m := range mend(h.header) {
				heads = append(heads, head{m.header, append(slices.Clone(h.steps), m.steps...)})
			}
		}
	}
	return heads
}

// with returns the header with another value.
func with(header http.Header, name, value string, s step) head {
	changed := header.Clone()
	changed[name] = []string{value}
	return head{changed, []step{s}}
}

// repeated returns a mending that leaves one of several values of the header, which
// came as lines or as a list in one line.
func repeated(name string) func(http.Header) []head {
	return func(header http.Header) (heads []head) {
		values := strings.Split(strings.ReplaceAll(strings.Join(header[name], ","), " ", ""), ",")
		slices.Sort(values)
		values = slices.Compact(values)
		if len(values) == 1 && len(header[name]) == 1 && values[0] == header[name][0] {
			return nil
		}
		for _, value := range values[:min(len(values), 4)] {
			heads = append(heads, with(header, name, value, step{
				HeaderRepeated, "leaving one " + strings.ToLower(name), "something repeats the header; have it pass on what it got",
			}))
		}
		return heads
	}
}

// mendTimestamp turns other forms of a time into Unix seconds.
func mendTimestamp(header http.Header) []head {
	text := strings.Join(header[headerTimestamp], "")
	s := step{TimestampForm, "writing webhook-timestamp as Unix seconds", "something writes the header in another form; have it pass on what it got"}
	unit, value := "", ""
	if digits(text) {
		unit = unitOf(len(text))
	}
	if unit != "" {
		value = text[:10]
		s.cause, s.why = Milliseconds, "webhook-timestamp is in "+unit+", because something writes the header anew; have it pass on what it got"
	} else if seconds, _, ok := strings.Cut(text, "."); ok && digits(seconds) {
		value = seconds
	} else {
		for _, layout := range []string{time.RFC3339, http.TimeFormat, time.RFC1123Z} {
			if at, err := time.Parse(layout, text); err == nil {
				value = strconv.FormatInt(at.Unix(), 10)
			}
		}
	}
	if value == "" {
		return nil
	}
	return []head{with(header, headerTimestamp, value, s)}
}

// unitOf returns the unit of the time since 1970 if a timestamp of today has that
// many digits. It returns "" for seconds.
func unitOf(digits int) string {
	switch digits {
	case 13:
		return "milliseconds"
	case 16:
		return "microseconds"
	case 19:
		return "nanoseconds"
	}
	return ""
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

var afterComma = regexp.MustCompile(`(^|[ ,])(v1a?),\s+`)

// mendSignature undoes what is done to the list of signatures.
func mendSignature(header http.Header) (heads []head) {
	list := joined(header)
	add := func(value string, s step) {
		if value != list {
			heads = append(heads, with(header, headerSignature, value, s))
		}
	}
	add(afterComma.ReplaceAllString(list, "$1$2,"), step{
		HeaderSplit, "joining the parts of webhook-signature",
		"something splits the header at its commas and joins the parts in another way; have it pass on what it got",
	})
	add(withPlus(list), step{
		PlusLost, `putting "+" for the spaces in webhook-signature`,
		"something decodes the header as part of a URL or form, where a plus means a space; have it pass on what it got",
	})
	if text, err := url.PathUnescape(list); err == nil {
		add(text, step{Escaped, "decoding webhook-signature from URL encoding", "something encodes the header for a URL; have it pass on what it got"})
	}
	return heads
}

// joined returns the list of signatures in one line, as the library joins it.
func joined(header http.Header) string {
	lines := header[headerSignature]
	if list := strings.Join(lines, " "); strings.Contains(list, ",") {
		return list
	}
	return strings.Join(lines, ",")
}

// withPlus puts a "+" wherever a space is not followed by another entry.
func withPlus(list string) string {
	var b strings.Builder
	for i, part := range strings.Split(list, " ") {
		switch {
		case i == 0:
		case strings.HasPrefix(part, "v1,"), strings.HasPrefix(part, "v1a,"):
			b.WriteByte(' ')
		default:
			b.WriteByte('+')
		}
		b.WriteString(part)
	}
	return b.String()
}

// isSplit reports whether the header arrived in parts that the library joins.
func isSplit(header http.Header) bool {
	lines := header[headerSignature]
	return len(lines) > 1 && !strings.Contains(strings.Join(lines, ""), ",")
}

const splitText = "webhook-signature arrived split at its commas, as adapters for serverless platforms do. " +
	"The library puts it together again, so there is nothing to do."

func hasEntry(header http.Header, scheme string) bool {
	return strings.Contains(" "+strings.ReplaceAll(joined(header), ",", " , "), " "+scheme+" ,")
}

// signatures says what is wrong with the list of signatures itself, if anything.
func signatures(header http.Header, keys Keys) (Cause, string) {
	list := joined(header)
	static := hasEntry(header, geminihook.SchemeHMAC)
	dynamic := hasEntry(header, geminihook.SchemeEd25519)
	switch word := strings.TrimPrefix(list, "Bearer "); {
	case strings.HasPrefix(word, "eyJ") && strings.Count(word, ".") == 2:
		return JWT, "webhook-signature is a JWT. Google's page shows one for dynamic webhooks, but Gemini signs them with v1a: " +
			"the delivery is not from Gemini as it works today."
	case list == geminihook.SchemeHMAC || list == geminihook.SchemeEd25519:
		return HeaderSplit, "webhook-signature has only the part before its comma: something splits the header there and passes on " +
			"the first part. Have it pass on what it got."
	case !static && !dynamic:
		return OtherScheme, "webhook-signature has neither a v1 nor a v1a entry: the sender is not Gemini, or something rewrites the header."
	case !static && keys.Dynamic == nil:
		return Dynamic, "webhook-signature has a v1a entry: this is a dynamic webhook, which a signing secret cannot verify. " +
			"Verify it with a KeySet; with the command, use -google."
	case !dynamic && len(keys.Secrets) == 0:
		return Static, "webhook-signature has a v1 entry: this is a static webhook, which a key set cannot verify. " +
			"Verify it with an HMAC; with the command, set GEMINI_WEBHOOK_SECRET."
	case !wellFormed(list):
		return Malformed, "webhook-signature has an entry of another length than a signature has: something cuts or changes the header."
	}
	return "", ""
}

// wellFormed reports whether an entry of the list has the length of a signature.
func wellFormed(list string) bool {
	for entry := range strings.FieldsSeq(list) {
		scheme, value, _ := strings.Cut(entry, ",")
		b, err := base64.StdEncoding.DecodeString(value)
		isHMAC := scheme == geminihook.SchemeHMAC && len(b) == sha256.Size
		isEd25519 := scheme == geminihook.SchemeEd25519 && len(b) == ed25519.SignatureSize
		if err == nil && (isHMAC || isEd25519) {
			return true
		}
	}
	return false
}
