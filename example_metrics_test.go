package geminihook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
)

// metrics are what the alerts of docs/operations.md look at, in Prometheus' text
// format.
type metrics struct {
	mu       sync.Mutex
	counters map[string]float64
	gauges   map[string]func() float64
}

// newMetrics returns metrics with every counter, because Prometheus does not see the
// increase of one that begins with 1.
func newMetrics() *metrics {
	m := &metrics{counters: map[string]float64{}, gauges: map[string]func() float64{}}
	for _, result := range []geminihook.Result{
		geminihook.Processed, geminihook.Duplicate, geminihook.Busy, geminihook.Rejected,
		geminihook.Forbidden, geminihook.Ignored, geminihook.Failed, geminihook.Dropped,
		geminihook.Unavailable,
	} {
		m.add("gemini_webhooks_total"+label(result), 0)
		m.add("gemini_webhooks_late_total"+label(result), 0)
	}
	for _, name := range []string{
		"gemini_webhooks_unverified_total", "gemini_webhooks_leases_lost_total",
		"gemini_webhooks_marks_lost_total", "gemini_webhooks_runs", "gemini_webhooks_runs_overdue",
	} {
		m.add(name, 0)
	}
	return m
}

func label(result geminihook.Result) string { return `{result="` + string(result) + `"}` }

func (m *metrics) add(name string, n float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counters[name] += n
}

// observe counts an outcome.
func (m *metrics) observe(_ context.Context, o geminihook.Outcome) {
	m.add("gemini_webhooks_total"+label(o.Result), 1)
	dated := o.Event != nil && !o.Event.Time.IsZero()
	if dated && time.Since(o.Event.Time) > 10*time.Minute {
		m.add("gemini_webhooks_late_total"+label(o.Result), 1)
	}
	if errors.Is(o.Err, geminihook.ErrSignature) || errors.Is(o.Err, geminihook.ErrTimestamp) {
		m.add("gemini_webhooks_unverified_total", 1)
	}
	if errors.Is(o.Err, geminihook.ErrLeaseLost) {
		m.add("gemini_webhooks_leases_lost_total", 1)
	}
	handled := o.Result == geminihook.Processed || o.Result == geminihook.Dropped
	if handled && errors.Is(o.Err, geminihook.ErrStore) {
		m.add("gemini_webhooks_marks_lost_total", 1)
	}
}

// watch returns fn, and counts the runs that have not returned, and those of them
// whose context has ended.
func (m *metrics) watch(
	fn func(context.Context, *geminihook.Event) error,
) func(context.Context, *geminihook.Event) error {
	return func(ctx context.Context, ev *geminihook.Event) error {
		m.add("gemini_webhooks_runs", 1)
		defer m.add("gemini_webhooks_runs", -1)
		stop := context.AfterFunc(ctx, func() { m.add("gemini_webhooks_runs_overdue", 1) })
		defer func() {
			if !stop() { // it was counted
				m.add("gemini_webhooks_runs_overdue", -1)
			}
		}()
		return fn(ctx, ev)
	}
}

// all returns the current values.
func (m *metrics) all() map[string]float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := maps.Clone(m.counters)
	for name, value := range m.gauges {
		values[name] = value()
	}
	return values
}

func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	values := m.all()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(w, "%s %g\n", name, values[name])
	}
}

// A program with metrics, and with a Recorder for the events on which it fails.
func ExampleOutcome() {
	dir, err := os.MkdirTemp("", "deliveries")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	keys := &geminihook.KeySet{}

	m := newMetrics()
	recorder := &record.Recorder{Dir: dir, Logger: logger}
	m.gauges["gemini_webhooks_recorded"] = func() float64 {
		files, _ := filepath.Glob(filepath.Join(recorder.Dir, "failed-*.http"))
		return float64(len(files))
	}
	m.gauges["gemini_keys_fetch_failures"] = func() float64 {
		return float64(keys.Status().Failures)
	}
	endpoint := &geminihook.Endpoint{
		Verifier: geminihook.AnyOf(&geminihook.HMAC{Secrets: []geminihook.Secret{secret}}, keys),
		Logger:   logger,
		Observe: func(ctx context.Context, o geminihook.Outcome) {
			m.observe(ctx, o)
			recorder.Observe(ctx, o)
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/gemini", endpoint.Handler(m.watch(handle)))
	mux.Handle("GET /metrics", m)

	signer := webhooktest.Static(webhooktest.TestSecret)
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	mux.ServeHTTP(&discard{header: http.Header{}}, d.Request("/gemini"))
	for name, value := range m.all() {
		if value > 0 {
			fmt.Println(name, value)
		}
	}
	// Output:
	// gemini_webhooks_total{result="processed"} 1
}

// cloudLogging is a ReplaceAttr for Cloud Logging, which has other names for the level
// and the message, and for one of the levels.
func cloudLogging(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.LevelKey:
		return slog.String("severity", strings.Replace(a.Value.String(), "WARN", "WARNING", 1))
	case slog.MessageKey:
		a.Key = "message"
	}
	return a
}

func ExampleEndpoint_logger() {
	options := &slog.HandlerOptions{ReplaceAttr: cloudLogging}
	endpoint := &geminihook.Endpoint{
		Logger: slog.New(slog.NewJSONHandler(os.Stdout, options)),
	}
	fmt.Println(endpoint.Logger.Enabled(context.Background(), slog.LevelInfo))
	// Output:
	// true
}
