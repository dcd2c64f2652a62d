package webhooktest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/geminihook/geminihook"
)

// Record returns a handler that writes each delivery that it gets into the
// folder dir, as a file that Read reads, and then calls next. A nil next means
// that the answer is 200. It goes behind Endpoint.Middleware, so that only
// verified deliveries are written, each event once:
//
//	endpoint.Middleware(webhooktest.Record("deliveries", next))
//
// A file has the three webhook headers and Content-Type of the delivery, its
// signature and its body as they were, and nothing else of the request: not
// the URL, which may have a token in it, no cookie, no credentials. Its name
// has the time of the attempt, the type and a digest of the id. A delivery that
// is not verified, and one that cannot be written, is answered 500, so that it
// comes again.
func Record(dir string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, ok := geminihook.FromContext(r.Context())
		if !ok {
			http.Error(w, "webhooktest: Record must be behind Endpoint.Middleware", http.StatusInternalServerError)
			return
		}
		if _, err := write(dir, ev, r.Header); err != nil {
			http.Error(w, "webhooktest: the delivery was not recorded", http.StatusInternalServerError)
			return
		}
		if next != nil {
			next.ServeHTTP(w, r)
		}
	})
}

// write writes the whole file or none.
func write(dir string, ev *geminihook.Event, header http.Header) (name string, err error) {
	d := &Delivery{Header: http.Header{}, Body: ev.Raw}
	for _, h := range []string{"Content-Type", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if values := header.Values(h); len(values) > 0 {
			d.Header[h] = values
		}
	}
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		return "", err
	}
	temp, err := os.CreateTemp(dir, ".recording-*")
	if err != nil {
		return "", err
	}
	_, err = temp.Write(b.Bytes())
	if closed := temp.Close(); err == nil {
		err = closed
	}
	name = filepath.Join(dir, fileName(ev))
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return name, err
}

// fileName has nothing in it that a file system, or a shell, takes amiss.
func fileName(ev *geminihook.Event) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
			return r
		}
		return '_'
	}, string(ev.Type))
	digest := sha256.Sum256([]byte(ev.ID))
	return fmt.Sprintf("%s-%.64s-%x.http", ev.SentAt.UTC().Format("20060102T150405Z"), plain, digest[:4])
}
