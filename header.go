package geminihook

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The signature schemes of Standard Webhooks 1.0.0, as [Proof.Scheme] names them.
const (
	SchemeHMAC    = "v1"  // HMAC-SHA256, for Gemini's static webhooks
	SchemeEd25519 = "v1a" // Ed25519, for Gemini's dynamic webhooks
)

// defaultTolerance is how far webhook-timestamp may differ from the current
// time, in either direction.
const defaultTolerance = 5 * time.Minute

// The header names of Standard Webhooks 1.0.0, in net/http's canonical form and in
// lower case, which some adapters for serverless platforms leave as it arrived.
const (
	headerID, lowerID               = "Webhook-Id", "webhook-id"
	headerTimestamp, lowerTimestamp = "Webhook-Timestamp", "webhook-timestamp"
	headerSignature, lowerSignature = "Webhook-Signature", "webhook-signature"
)

// Limits on what an unauthenticated request can make the package do.
const (
	maxID         = 256     // bytes of webhook-id
	maxList       = 4 << 10 // bytes of webhook-signature
	maxSignatures = 8       // entries of webhook-signature
	maxEd25519    = 3       // distinct "v1a" entries, each of which is tried with every key
)

// delivery holds the webhook headers of one request.
type delivery struct {
	id, timestamp string // as they arrived, because they are signed
	sentAt        int64  // timestamp in Unix seconds
	found         counts
	list          [maxSignatures]signature
	listed        int // the number of entries in list
	seen          int // the number of entries that were read, including those left out of list
}

// signature is one entry of webhook-signature, "<scheme>,<value>".
type signature struct{ scheme, value string }

// counts has the number of entries of each kind.
type counts struct{ hmac, ed25519, jwt int }

// parse checks the form of the headers. Its errors wrap ErrHeader.
func (d *delivery) parse(header http.Header) error {
	var err error
	if d.id, err = single(header, headerID, lowerID); err != nil {
		return err
	}
	if d.timestamp, err = single(header, headerTimestamp, lowerTimestamp); err != nil {
		return err
	}
	if !validID(d.id) {
		return errID
	}
	seconds, err := strconv.ParseUint(d.timestamp, 10, 63)
	if err != nil || d.timestamp[0] == '0' { // ParseUint accepts leading zeros
		return errTimestampForm
	}
	d.sentAt = int64(seconds)
	d.parseSignatures(values(header, headerSignature, lowerSignature))
	if d.seen == 0 {
		return errNoSignature
	}
	return nil
}

// values returns the values of a header that may be present in either form.
func values(header http.Header, canonical, lower string) []string {
	inCanonical, inLower := header[canonical], header[lower]
	switch {
	case len(inLower) == 0:
		return inCanonical
	case len(inCanonical) == 0:
		return inLower
	}
	return slices.Concat(inCanonical, inLower)
}

// single returns the value of a header that must be present exactly once.
func single(header http.Header, canonical, lower string) (string, error) {
	all := values(header, canonical, lower)
	if len(all) == 1 {
		return all[0], nil
	}
	return "", withReason(ErrHeader, fmt.Sprintf(
		"%s must be present exactly once, but the request has %d: the request is not "+
			"a Standard Webhooks delivery, or a proxy drops or repeats the header",
		lower, len(all)))
}

// parseSignatures reads the list of "<scheme>,<value>" entries, which spaces
// separate.
func (d *delivery) parseSignatures(lines []string) {
	list := joinLines(lines)
	if len(list) > maxList {
		list = list[:maxList]
	}
	for part := range strings.SplitSeq(list, " ") {
		d.parsePart(part)
	}
}

// joinLines makes one list of the lines. There are several if a proxy repeated the
// header, or if an adapter split the list at its commas, as those for AWS Lambda
// do: then no line has a comma.
func joinLines(lines []string) string {
	if len(lines) == 1 {
		return lines[0]
	}
	hasComma := func(line string) bool { return strings.Contains(line, ",") }
	if slices.ContainsFunc(lines, hasComma) {
		return strings.Join(lines, " ")
	}
	return strings.Join(lines, ",")
}

// parsePart reads a part of the list that has no space: an entry or, if a proxy
// folded several lists into one, entries with commas between them.
func (d *delivery) parsePart(part string) {
	for part != "" && d.seen < maxSignatures {
		var s signature
		s.scheme, part, _ = strings.Cut(part, ",")
		if s.scheme == "" { // there is nothing between two commas
			continue
		}
		s.value, part, _ = strings.Cut(part, ",")
		d.seen++
		// In "v1,AAAA,more", a single word is left. The value is then "AAAA,more", which
		// matches nothing, so the entry is left out.
		if part == "" || strings.Contains(part, ",") {
			d.add(s)
		}
	}
}

// add appends s unless it is in the list or is one "v1a" entry too many.
func (d *delivery) add(s signature) {
	switch {
	case slices.Contains(d.signatures(), s):
		return
	case s.scheme == SchemeHMAC:
		d.found.hmac++
	case s.scheme == SchemeEd25519:
		if d.found.ed25519 == maxEd25519 {
			return
		}
		d.found.ed25519++
	case s.value == "" && strings.HasPrefix(s.scheme, "eyJ") && strings.Count(s.scheme, ".") == 2:
		d.found.jwt++ // a bare JWT
	}
	d.list[d.listed] = s
	d.listed++
}

func (d *delivery) signatures() []signature { return d.list[:d.listed] }

var (
	errID = withReason(ErrHeader,
		"webhook-id must be 1 to 256 bytes of visible ASCII")
	errTimestampForm = withReason(ErrHeader,
		"webhook-timestamp must be Unix seconds in decimal digits, without a sign or leading zero")
	errNoSignature = withReason(ErrHeader,
		"webhook-signature is missing: the request is not a signed delivery, "+
			"or a proxy drops the header")
	errMilliseconds = withReason(ErrTimestamp,
		"webhook-timestamp is in milliseconds, but must be in seconds")
)

// validID reports whether id is 1 to 256 bytes of visible ASCII.
func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if id[i] < '!' || id[i] > '~' {
			return false
		}
	}
	return true
}

// appendPrefix appends what is signed before the body, byte for byte as the
// headers had it: "<webhook-id>.<webhook-timestamp>.".
func (d *delivery) appendPrefix(b []byte) []byte {
	b = append(append(b, d.id...), '.')
	return append(append(b, d.timestamp...), '.')
}

// parseWithin parses the headers and checks that the timestamp is within the
// tolerance of now, in either direction. A zero tolerance means defaultTolerance,
// and a nil now means time.Now. Its errors wrap ErrHeader or ErrTimestamp.
func (d *delivery) parseWithin(
	tolerance time.Duration, now func() time.Time, header http.Header,
) error {
	if err := d.parse(header); err != nil {
		return err
	}
	if tolerance == 0 {
		tolerance = defaultTolerance
	}
	late := clock(now).Sub(time.Unix(d.sentAt, 0)) // saturates, and so does Abs
	if late.Abs() <= tolerance {
		return nil
	}
	if d.sentAt > 1e11 { // in seconds, the year 5138
		return errMilliseconds
	}
	direction := "behind"
	if late < 0 {
		direction = "ahead of"
	}
	return withReason(ErrTimestamp, fmt.Sprintf(
		"the delivery is %v %s this machine's clock, and the tolerance is %v: "+
			"set the clock, unless the delivery is forged or an old one is replayed "+
			"(Google signs each retry afresh)",
		late.Abs().Round(time.Second), direction, tolerance))
}

// deliveryID returns a copy of the webhook-id, or "" if there is not exactly one or
// it is malformed.
func deliveryID(header http.Header) string {
	ids := values(header, headerID, lowerID)
	if len(ids) != 1 || !validID(ids[0]) {
		return ""
	}
	return strings.Clone(ids[0])
}
