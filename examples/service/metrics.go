package main

import (
	"context"
	"errors"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the alerts in docs/operations.md need.
type metrics struct {
	registry   *prometheus.Registry
	deliveries *prometheus.CounterVec // by result
	lost       prometheus.Counter     // leases and marks
	delay      prometheus.Histogram   // from the event to its being handled
	running    prometheus.Gauge       // also runs that hang
}

func newMetrics(table *jobs.Table) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gemini_webhooks_total", Help: "Deliveries and swept jobs, by result.",
		}, []string{"result"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gemini_webhooks_lost_marks_total", Help: "Events that may run twice.",
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gemini_webhooks_delay_seconds", Help: "From the event to its being handled.",
			Buckets: []float64{1, 5, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600},
		}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gemini_webhooks_running", Help: "Runs now, including those that hang.",
		}),
	}
	stale := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gemini_jobs_stale", Help: "Jobs without an id, or older than a day. -1 if the table cannot be read.",
	}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		all, err := table.Stale(ctx)
		if err != nil {
			return -1
		}
		return float64(len(all))
	})
	m.registry.MustRegister(m.deliveries, m.lost, m.delay, m.running, stale)
	return m
}

// observe is the endpoint's Observe.
func (m *metrics) observe(_ context.Context, o geminihook.Outcome) {
	m.deliveries.WithLabelValues(string(o.Result)).Inc()
	if o.Result != geminihook.Processed {
		return
	}
	if errors.Is(o.Err, geminihook.ErrStore) {
		m.lost.Inc()
	}
	if !o.Event.Time.IsZero() {
		m.delay.Observe(time.Since(o.Event.Time).Seconds())
	}
}

// count counts the runs of a function.
func (m *metrics) count(
	fn func(context.Context, *geminihook.Event) error,
) func(context.Context, *geminihook.Event) error {
	return func(ctx context.Context, ev *geminihook.Event) error {
		m.running.Inc()
		defer m.running.Dec()
		return fn(ctx, ev)
	}
}
