package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics have the names that the alerts in docs/operations.md use. Leases and marks
// cannot be lost with a Transactor, so there are no counters for them.
type metrics struct {
	registry      *prometheus.Registry
	total, late   *prometheus.CounterVec // by result
	unverified    prometheus.Counter
	runs, overdue prometheus.Gauge
}

func newMetrics(s *service) *metrics {
	registry := prometheus.NewRegistry()
	factory := promauto.With(registry)
	byResult := func(name, help string) *prometheus.CounterVec {
		counter := factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"})
		for _, result := range results { // an increase from nothing to 1 is not seen
			counter.WithLabelValues(string(result))
		}
		return counter
	}
	gauge := func(name, help string, value func() float64) {
		factory.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("gemini_webhooks_recorded", "Files of events that failed.", func() float64 {
		files, _ := filepath.Glob(filepath.Join(s.recorder.Dir, "failed-*.http"))
		return float64(len(files))
	})
	gauge("gemini_keys_fetch_failures", "Failed fetches in a row.", func() float64 {
		return float64(s.keys.Status().Failures)
	})
	gauge("gemini_secrets_read_failures", "Failed readings in a row.", func() float64 {
		return float64(s.secrets.Status().Failures)
	})
	gauge("gemini_jobs_stale", "Jobs to look at; -1 if the table cannot be read.", s.stale)
	return &metrics{
		registry: registry,
		total:    byResult("gemini_webhooks_total", "Deliveries and swept jobs."),
		late:     byResult("gemini_webhooks_late_total", "Those more than 10 minutes after the event."),
		unverified: factory.NewCounter(prometheus.CounterOpts{
			Name: "gemini_webhooks_unverified_total", Help: "Wrong signatures and timestamps.",
		}),
		runs: factory.NewGauge(prometheus.GaugeOpts{
			Name: "gemini_webhooks_runs", Help: "Runs that have not returned.",
		}),
		overdue: factory.NewGauge(prometheus.GaugeOpts{
			Name: "gemini_webhooks_runs_overdue", Help: "Those whose context has ended.",
		}),
	}
}

var results = []geminihook.Result{
	geminihook.Processed, geminihook.Duplicate, geminihook.Busy, geminihook.Rejected,
	geminihook.Forbidden, geminihook.Ignored, geminihook.Failed, geminihook.Dropped,
	geminihook.Unavailable,
}

func (m *metrics) observe(_ context.Context, o geminihook.Outcome) {
	m.total.WithLabelValues(string(o.Result)).Inc()
	dated := o.Event != nil && !o.Event.Time.IsZero()
	if dated && time.Since(o.Event.Time) > 10*time.Minute {
		m.late.WithLabelValues(string(o.Result)).Inc()
	}
	if errors.Is(o.Err, geminihook.ErrSignature) || errors.Is(o.Err, geminihook.ErrTimestamp) {
		m.unverified.Inc()
	}
}

// watch returns fn, and counts its runs.
func (m *metrics) watch(
	fn func(context.Context, *geminihook.Event) error,
) func(context.Context, *geminihook.Event) error {
	return func(ctx context.Context, ev *geminihook.Event) error {
		m.runs.Inc()
		defer m.runs.Dec()
		stop := context.AfterFunc(ctx, m.overdue.Inc)
		defer func() {
			if !stop() { // it was counted
				m.overdue.Dec()
			}
		}()
		return fn(ctx, ev)
	}
}
