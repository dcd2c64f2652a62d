package geminihook

import (
	"cmp"
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

// The header names of Standard Webhooks 1.0.0, in net/http's canonical form.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
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
	found         found
	list          [maxSignatures]signature
	listed        int
}

// signature is one entry of webhook-signature, "<scheme>,<value>".
type signature struct{ scheme, value string }

// found counts the entries of each kind.
type found struct{ hmac, ed25519, jwt int }

// parse checks the form of the headers. Its errors wrap ErrHeader.
func (d *delivery) parse(header http.Header) error {
	ids, timestamps := header[headerID], header[headerTimestamp]
	if len(ids) != 1 {
		return refuseCount("webhook-id", len(ids))
	}
	if len(timestamps) != 1 {
		return refuseCount("webhook-timestamp", len(timestamps))
	}
	d.id, d.timestamp = ids[0], timestamps[0]
	if !validID(d.id) {
		return errID
	}
	seconds, err := strconv.ParseUint(d.timestamp, 10, 63)
	if err != nil || d.timestamp[0] == '0' { // ParseUint accepts leading zeros
		return errTimestampForm
	}
	d.sentAt = int64(seconds)
	return d.parseSignatures(header[headerSignature])
}

func refuseCount(name string, n int) error {
	return refuse(ErrHeader, fmt.Sprintf("%s must be present exactly once, but the request has %d: "+
		"the request is not a Standard Webhooks delivery, or a proxy drops or repeats the header", name, n))
}

// parseSignatures reads the space-delimited list. It may arrive in several
// lines, because a proxy has repeated the header or because an adapter has split
// it at its commas, as those for AWS Lambda do. Or a proxy may have folded several
// lists into one with commas between them.
func (d *delivery) parseSignatures(lines []string) error {
	separator := " "
	if len(lines) > 1 && !strings.Contains(strings.Join(lines, ""), ",") {
		separator = ","
	}
	list := strings.Join(lines, separator)
	seen := 0
	for rest := list[:min(len(list), maxList)]; rest != "" && seen < maxSignatures; {
		entry, after, _ := strings.Cut(rest, " ")
		scheme, value, _ := strings.Cut(entry, ",")
		// In a folded list, value runs on into the entries that follow. They are
		// cut off by slicing, because copying would make this loop quadratic.
		if i := strings.IndexByte(value, ','); i >= 0 && isEntry(value[i+1:]) {
			value, after = value[:i], rest[len(scheme)+1+i+1:]
		}
		if scheme != "" || value != "" {
			seen++
			d.add(signature{scheme: scheme, value: value})
		}
		rest = after
	}
	if seen == 0 {
		return errNoSignature
	}
	return nil
}

// isEntry reports whether a list can go on with s after a comma.
func isEntry(s string) bool {
	return s == "" || strings.HasPrefix(s, SchemeHMAC+",") || strings.HasPrefix(s, SchemeEd25519+",")
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
	errID            = refuse(ErrHeader, "webhook-id must be 1 to 256 bytes of visible ASCII")
	errTimestampForm = refuse(ErrHeader, "webhook-timestamp must be Unix seconds in decimal digits, without a sign or leading zero")
	errNoSignature   = refuse(ErrHeader, "webhook-signature is missing: the request is not a signed delivery, or a proxy drops the header")
)

// validID reports whether id is 1 to 256 bytes of visible ASCII.
func validID(id string) bool {
	for i := range min(len(id), maxID) {
		if id[i] < '!' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

// appendPrefix appends what is signed before the body, byte for byte as the
// headers had it: "<webhook-id>.<webhook-timestamp>.".
func (d *delivery) appendPrefix(b []byte) []byte {
	b = append(append(b, d.id...), '.')
	return append(append(b, d.timestamp...), '.')
}

// check parses the headers and checks that the timestamp is within the
// tolerance, in either direction. A nil now means time.Now and a zero tolerance
// defaultTolerance. Its errors wrap ErrHeader or ErrTimestamp.
func (d *delivery) check(header http.Header, now func() time.Time, tolerance time.Duration) error {
	if err := d.parse(header); err != nil {
		return err
	}
	tolerance = cmp.Or(tolerance, defaultTolerance)
	late := clock(now).Sub(time.Unix(d.sentAt, 0)) // saturates, and so does Abs
	if late.Abs() <= tolerance {
		return nil
	}
	if d.sentAt > 1e11 { // in seconds, the year 5138
		return refuse(ErrTimestamp, "webhook-timestamp is in milliseconds, but must be in seconds")
	}
	direction := map[bool]string{false: "behind", true: "ahead of"}[late < 0]
	return refuse(ErrTimestamp, fmt.Sprintf("the delivery is %v %s this machine's clock, and the tolerance is %v: set the clock, "+
		"unless the delivery is forged or an old one is replayed (Google signs each retry afresh)",
		late.Abs().Round(time.Second), direction, tolerance))
}

// deliveryID returns a copy of the webhook-id, or "" if there is not exactly one or
// it is malformed.
func deliveryID(header http.Header) string {
	ids := header[headerID]
	if len(ids) != 1 || !validID(ids[0]) {
		return ""
	}
	return strings.Clone(ids[0])
}
