package explain

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// sentAt returns the time of a header that the library accepts.
func sentAt(header http.Header) time.Time {
	seconds, err := strconv.ParseInt(header.Get(headerTimestamp), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// tolerance is the default of geminihook.HMAC and geminihook.KeySet.
const tolerance = 5 * time.Minute

// clock says how far from now a delivery with a matching signature was sent, if that
// is too far. If now is zero, it never is.
func clock(sent, now time.Time) (Cause, string) {
	late := now.Sub(sent)
	if now.IsZero() || late.Abs() <= tolerance {
		return "", ""
	}
	at, by := sent.Format(time.RFC3339), late.Abs().Round(time.Second)
	switch {
	case late < 0:
		return ClockSlow, fmt.Sprintf("The signature matches, but the delivery was sent at %s, %v after the time on the receiver's clock, "+
			"which is slow by that much. Set the clock, for example with NTP.", at, by)
	case late <= 24*time.Hour:
		return ClockFast, fmt.Sprintf("The signature matches, but the delivery was sent at %s, %v before the time on the receiver's clock, "+
			"which is fast by that much, unless the delivery is a recording. Set the clock, for example with NTP.",
			at, by)
	}
	return Replayed, fmt.Sprintf("The signature matches, but the delivery was sent at %s, %.0f days ago. Google signs each attempt afresh "+
		"and makes none after 24 hours, so this is a recording that was sent again. To accept it in a test, set the clock of the verifier "+
		"to its time: Now: func() time.Time { return time.Unix(%d, 0) }; with the command, leave out -now.",
		at, late.Hours()/24, sent.Unix())
}
