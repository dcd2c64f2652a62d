// Package refused keeps deliveries that an endpoint refused, so that you can find
// out why. Use it in production when the reason in the log is not enough:
//
//	recorder := &refused.Recorder{Dir: "/var/lib/app/refused"}
//	http.Handle("/gemini", recorder.Wrap(endpoint.Handler(handle)))
//
// The command "geminihook verify" reads the files and names the cause. Never handle
// the files as events: a stranger may have sent them, and nothing in them is verified.
package refused

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/geminihook/geminihook/internal/deliveryfile"
)

// The defaults of [Recorder].
const (
	DefaultMaxFiles = 100
	DefaultMaxBytes = 64 << 10 // an event has a few hundred
	DefaultInterval = 10 * time.Second
)

// Recorder writes refused deliveries to files. Every field except Dir may stay
// zero. Do not change or copy a Recorder that is in use.
type Recorder struct {
	// Dir is the folder of the files. It is created with mode 0700 if it does
	// not exist. Use it for nothing else, especially not for genuine deliveries.
	// Several processes may share it.
	Dir string

	// MaxFiles is how many files are kept, at least one. The oldest are
	// removed. Zero means DefaultMaxFiles.
	MaxFiles int

	// MaxBytes bounds the size of a file. A larger delivery is not recorded: if
	// it were cut, "geminihook verify" would take it for one that was truncated
	// on the way. Zero means DefaultMaxBytes.
	MaxBytes int64

	// Interval is the minimum time from one file to the next, so that a flood
	// costs little and does not quickly replace everything that was recorded
	// before it. Deliveries that are refused in the meantime are not recorded. Zero
	// means DefaultInterval.
	Interval time.Duration

	// Now is the clock. Nil means time.Now.
	Now func() time.Time

	// Logger gets a line when a delivery was recorded and when it could not be.
	// Nil means slog.Default().
	Logger *slog.Logger

	mu      sync.Mutex
	last    time.Time // of the last attempt to write
	writing bool
}

// Wrap wraps the handler of [geminihook.Endpoint.Handler] or
// [geminihook.Endpoint.Middleware]. It records the POST requests with a webhook
// header that the endpoint refuses with 400: because of their headers, their
// timestamp, their signature, or their body. Requests with any other response are
// not recorded, nor are those with a 400 from the handler behind Middleware.
//
// A file holds the body, the three webhook headers, Content-Type,
// Content-Encoding, and Content-Length. Nothing else of the request is written,
// neither the URL nor cookies or credentials. The name of the file is the time
// of the refusal and a random part. Its mode is 0600.
//
// Wrap does not change the response. It copies what the endpoint reads, up to
// MaxBytes for each request, and writes the file after the response was sent.
// Wrap panics if next is nil or Dir is empty.
func (r *Recorder) Wrap(next http.Handler) http.Handler {
	switch {
	case next == nil:
		panic("refused: Wrap: nil handler")
	case r.Dir == "":
		panic("refused: Wrap: Recorder.Dir is empty")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost || req.Body == nil || len(webhookHeaders(req.Header)) == 0 || !r.due(false) {
			next.ServeHTTP(w, req)
			return
		}
		body := &copied{ReadCloser: req.Body, limit: cmp.Or(r.MaxBytes, DefaultMaxBytes)}
		watched := &response{ResponseWriter: w, body: body}
		again := *req
		again.Body = body
		next.ServeHTTP(watched, &again)
		if watched.refused && r.due(true) {
			defer r.end()
			_ = http.NewResponseController(w).Flush() // a slow disk must not delay the response
			r.record(req, body)
		}
	})
}

func webhookHeaders(header http.Header) http.Header {
	return deliveryfile.Pick(header, "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")
}

func (r *Recorder) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// due reports whether a delivery that is refused now may be recorded. If it may
// and claim is true, no other may until the caller calls end.
func (r *Recorder) due(claim bool) bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	since := now.Sub(r.last) // negative if the clock was set back
	if r.writing || since >= 0 && since < cmp.Or(r.Interval, DefaultInterval) {
		return false
	}
	if claim {
		r.writing, r.last = true, now
	}
	return true
}

func (r *Recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = false
}

// record writes the file and logs how it went.
func (r *Recorder) record(req *http.Request, body *copied) {
	ctx, logger := req.Context(), cmp.Or(r.Logger, slog.Default())
	header := webhookHeaders(req.Header)
	for name, values := range deliveryfile.Pick(req.Header, "Content-Type", "Content-Encoding") {
		header[name] = values
	}
	content := deliveryfile.Encode(header, body.copy.Bytes(), max(req.ContentLength, int64(body.copy.Len())))
	if body.tooLarge || int64(len(content)) > body.limit {
		logger.WarnContext(ctx, "gemini webhook: a refused delivery is too large to be recorded", "limit", body.limit)
		return
	}
	// The request has no influence on the name.
	name := "refused-" + r.now().UTC().Format("20060102T150405Z") + "-" + rand.Text() + ".http"
	err := r.makeRoom()
	if err == nil {
		err = deliveryfile.Save(r.Dir, name, content)
	}
	if err != nil {
		logger.ErrorContext(ctx, "gemini webhook: a refused delivery could not be recorded", "reason", err.Error())
		return
	}
	logger.InfoContext(ctx, "gemini webhook: a refused delivery was recorded", "file", filepath.Join(r.Dir, name))
}

// makeRoom makes the folder, and removes the oldest files if there are too many.
func (r *Recorder) makeRoom() error {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(r.Dir) // sorted by name, and therefore by time
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		own, _ := filepath.Match("refused-*.http", e.Name())
		return !own
	})
	keep := max(cmp.Or(r.MaxFiles, DefaultMaxFiles), 1) - 1
	for _, e := range entries[:max(len(entries)-keep, 0)] {
		err := os.Remove(filepath.Join(r.Dir, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process may have removed it
			return err
		}
	}
	return nil
}

// copied is a body of which a copy is kept as it is read.
type copied struct {
	io.ReadCloser
	limit    int64
	copy     bytes.Buffer
	tooLarge bool
}

// Read implements [io.Reader].
func (c *copied) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if int64(c.copy.Len()+n) > c.limit {
		c.tooLarge, c.copy = true, bytes.Buffer{}
	}
	if !c.tooLarge {
		c.copy.Write(b[:n])
	}
	return n, err
}

// response sees how the endpoint responds.
type response struct {
	http.ResponseWriter
	body    *copied
	wrote   bool
	refused bool
}

// Unwrap lets [http.ResponseController] find the server's writer.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *response) WriteHeader(status int) {
	if !w.wrote && status >= 200 {
		w.wrote = true
		w.refused = status == http.StatusBadRequest && byEndpoint(w.Header())
	}
	if w.refused {
		// The endpoint may have refused the headers alone. The server would
		// now discard the rest of the body, within the same time.
		_, _ = io.CopyN(io.Discard, w.body, w.body.limit+1)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *response) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// byEndpoint reports whether the endpoint itself responds, which sends nothing
// but the text of the status. http.Error would set another header.
func byEndpoint(header http.Header) bool {
	return header.Get("Content-Length") == strconv.Itoa(len(http.StatusText(http.StatusBadRequest)+"\n")) &&
		header.Get("Content-Type") == "text/plain; charset=utf-8" && header.Get("X-Content-Type-Options") == ""
}
