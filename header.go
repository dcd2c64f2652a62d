package geminihook

import (
	"net/http"
	"strings"
	"time"
)

// The header names of Standard Webhooks 1.0.0, in net/http's spelling.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const (
	maxID        = 256 // bytes of webhook-id
	maxTimestamp = 19  // digits of the largest int64
	maxEntries   = 8   // signature entries that are looked at
)

// delivery is the header of one delivery, taken apart and checked for form.
type delivery struct {
	id         string
	timestamp  string
	sentAt     int64 // unix seconds
	signatures [maxEntries]string
	entries    int // of signatures
}

// parse takes the header apart. Its errors wrap ErrHeader.
func (d *delivery) parse(header http.Header) error {
	ids, timestamps := header[headerID], header[headerTimestamp]
	if len(ids) != 1 || len(timestamps) != 1 {
		return errOnce
	}
	d.id, d.timestamp = ids[0], timestamps[0]
	if !validID(d.id) {
		return errID
	}
	var ok bool
	if d.sentAt, ok = plainDigits(d.timestamp); !ok {
		return errTimestampForm
	}
	return d.split(header[headerSignature])
}

// split collects the entries of the space-delimited list. A list that arrives
// in several header lines counts as one.
func (d *delivery) split(lines []string) error {
	for _, line := range lines {
		for line != "" && d.entries < maxEntries {
			var entry string
			entry, line, _ = strings.Cut(line, " ")
			if entry != "" {
				d.signatures[d.entries] = entry
				d.entries++
			}
		}
	}
	if d.entries == 0 {
		return errNoSignature
	}
	return nil
}

var (
	errOnce = refuse(ErrHeader, "webhook-id and webhook-timestamp must be there exactly once each: "+
		"not a Standard Webhooks delivery, or a proxy drops or repeats headers")
	errID            = refuse(ErrHeader, "webhook-id must be 1 to 256 bytes of visible ASCII")
	errTimestampForm = refuse(ErrHeader, "webhook-timestamp must be unix seconds in plain decimal digits, without sign or leading zero")
	errNoSignature   = refuse(ErrHeader, "webhook-signature is missing: not a signed delivery, or a proxy drops the header")
)

func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		if id[i]-'!' > '~'-'!' { // below '!' it wraps around
			return false
		}
	}
	return true
}

// plainDigits reads what strconv.ParseInt reads, but no sign and no leading
// zero.
func plainDigits(s string) (n int64, ok bool) {
	if s == "" || len(s) > maxTimestamp || s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		digit := s[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = n*10 + int64(digit)
	}
	return n, n > 0 // nineteen digits can be one bit too long, which is the sign's
}

// appendPrefix appends what is signed before the body, byte for byte as the
// headers had it: "<webhook-id>.<webhook-timestamp>.".
func (d *delivery) appendPrefix(b []byte) []byte {
	b = append(b, d.id...)
	b = append(b, '.')
	b = append(b, d.timestamp...)
	return append(b, '.')
}

// checkTime holds the timestamp against the tolerance, both ways. Its errors
// wrap ErrTimestamp.
func (d *delivery) checkTime(now func() time.Time, tolerance time.Duration) error {
	if now == nil {
		now = time.Now
	}
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	at := now()
	if apart := d.sentAt - at.Unix(); -60 < apart && apart < 60 && tolerance >= time.Minute {
		return nil // the usual case; time.Time's arithmetic is for the others
	}
	off := at.Sub(time.Unix(d.sentAt, 0)).Abs() // Sub and Abs stop at the largest Duration instead of wrapping around
	if off <= tolerance {
		return nil
	}
	apart := (min(off, 1<<62) + time.Second - 1).Truncate(time.Second).String() // rounded up: more than the tolerance
	if d.sentAt > at.Unix() {
		return refuse(ErrTimestamp, "it is "+apart+" ahead of this machine's clock, the tolerance is "+
			tolerance.String()+": set the clock, or the delivery is forged")
	}
	return refuse(ErrTimestamp, "it is "+apart+" behind this machine's clock, the tolerance is "+
		tolerance.String()+": set the clock, or an old delivery is sent again (Google signs each retry afresh)")
}
