package webhooktest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/deliveryfile"
)

// Record returns a handler that writes each delivery to a file in the existing
// folder dir and then calls next. If next is nil, it responds with 200. Use it
// behind [geminihook.Endpoint.Middleware], so that only verified deliveries are
// written, and each event once:
//
//	endpoint.Middleware(webhooktest.Record("deliveries", next))
//
// A file holds the body, the three webhook headers, and Content-Type, unchanged,
// so that [Read] and [Load] return a delivery that still verifies. Nothing else
// of the request is written: neither the URL, which may contain a token, nor
// cookies or credentials. The name of the file consists of the time of the
// attempt, the event type, and a digest of the id that distinguishes any two
// events.
//
// Record responds with 500 if it does not run behind the middleware or cannot
// write the file, so that the sender delivers the event again.
func Record(dir string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, ok := geminihook.FromContext(r.Context())
		if !ok {
			http.Error(w, "webhooktest: Record must be behind Endpoint.Middleware", http.StatusInternalServerError)
			return
		}
		if err := write(dir, ev, r.Header); err != nil {
			http.Error(w, "webhooktest: the delivery was not recorded", http.StatusInternalServerError)
			return
		}
		if next != nil {
			next.ServeHTTP(w, r)
		}
	})
}

// write writes a complete file or none.
func write(dir string, ev *geminihook.Event, header http.Header) error {
	header = deliveryfile.Pick(header, "Content-Type", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")
	return deliveryfile.Save(dir, fileName(ev), deliveryfile.Encode(header, ev.Raw, int64(len(ev.Raw))))
}

// fileName returns a name without characters that are special to a file system,
// a shell, or a terminal. The digest has 128 bits: with 32 bits, as few as
// 77,042 ids sufficed for two events of one type and second to share a file.
func fileName(ev *geminihook.Event) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
			return r
		}
		return '_'
	}, string(ev.Type))
	digest := sha256.Sum256([]byte(ev.ID))
	return fmt.Sprintf("%s-%.64s-%x.http", ev.SentAt.UTC().Format("20060102T150405Z"), plain, digest[:16])
}
