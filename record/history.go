package record

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/deliveryfile"
)

// history is what the header of an existing file tells.
type history struct {
	file         string // its path
	result       geminihook.Result
	id, typ, job string
	happened     time.Time // zero if unknown
	first        time.Time
	attempts     int
}

// history reads the header of a file.
func (r *Recorder) history(name string) (h history, ok bool) {
	path := filepath.Join(r.Dir, name)
	file, err := os.Open(path)
	if err != nil {
		return history{}, false
	}
	defer file.Close()
	req, err := http.ReadRequest(bufio.NewReader(io.LimitReader(file, 2*maxHeader)))
	if err != nil {
		return history{}, false
	}
	get := func(name string) string { return req.Header.Get(deliveryfile.Prefix + name) }
	h = history{
		file: path, result: geminihook.Result(get("Result")),
		id: req.Header.Get("Webhook-Id"), typ: get("Type"), job: get("Job"),
	}
	h.happened, _ = time.Parse(time.RFC3339Nano, get("Event-Time"))
	h.attempts, _ = strconv.Atoi(get("Attempts"))
	h.first, err = time.Parse(time.RFC3339Nano, get("First-Attempt"))
	return h, err == nil
}

// attrs are the attributes of a log line about the file.
func (h history) attrs(now time.Time) []slog.Attr {
	attrs := []slog.Attr{slog.String("file", h.file), slog.String("result", string(h.result))}
	for _, a := range []slog.Attr{
		slog.String("webhook_id", h.id), slog.String("type", h.typ), slog.String("job", h.job),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if !h.happened.IsZero() {
		age := max(now.Sub(h.happened), 0)
		attrs = append(attrs, slog.Int64("age_s", int64(age.Seconds())))
	}
	return append(attrs, slog.Int("attempts", h.attempts))
}
