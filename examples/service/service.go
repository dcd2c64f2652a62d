package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/record"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/riverqueue/river"
	"google.golang.org/genai"
)

// service has what the parts of the program share.
type service struct {
	pool     *pgxpool.Pool
	client   *genai.Client
	webhook  *genai.WebhookConfig // of each job; nil without dynamic webhooks
	table    *jobs.Table
	recorder *record.Recorder
	queue    *river.Client[pgx.Tx]
	metrics  *metrics
	secrets  *geminihook.SecretFile
	keys     *geminihook.KeySet
	endpoint *geminihook.Endpoint
	catchUp  *jobs.CatchUp
	draining atomic.Bool // the process is about to end
}

func newService(
	ctx context.Context, getenv func(string) string, keys *geminihook.KeySet,
) (_ *service, err error) {
	s := &service{keys: keys}
	if url := getenv("PUBLIC_URL"); url != "" {
		s.webhook = &genai.WebhookConfig{Uris: []string{url + "/gemini"}}
	}
	s.secrets = &geminihook.SecretFile{Path: getenv("GEMINI_WEBHOOK_SECRET_FILE")}
	if err := s.secrets.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("GEMINI_WEBHOOK_SECRET_FILE: %w", err)
	}
	if s.webhook != nil {
		if err := keys.Refresh(ctx); err != nil { // static webhooks do not need them
			slog.Error("Google's keys were not fetched", "error", err)
		}
	}
	s.recorder = &record.Recorder{Dir: cmp.Or(getenv("RECORD_DIR"), "deliveries")}
	config := &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI,
		APIKey:  getenv("GEMINI_API_KEY"),
	}
	if s.client, err = genai.NewClient(ctx, config); err != nil {
		return nil, err
	}
	if s.pool, err = pgxpool.New(ctx, getenv("DATABASE_URL")); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	store := pgstore.New(s.pool)
	s.table = &jobs.Table{Dialect: jobs.PostgreSQL, DB: pgstore.NewQuerier(s.pool)}
	s.metrics = newMetrics(s)
	s.endpoint = &geminihook.Endpoint{
		Verifier:   geminihook.AnyOf(s.secrets, keys),
		Transactor: store,
		Authorize:  s.table.Authorize, // a webhook may be about somebody else's job
		Key:        geminihook.ByJob,  // a webhook and the API report the same end
		Observe: func(ctx context.Context, o geminihook.Outcome) {
			s.metrics.observe(ctx, o)
			s.recorder.Observe(ctx, o)
		},
	}
	s.catchUp = &jobs.CatchUp{
		Client:   s.client,
		Endpoint: s.endpoint,
		Waiting:  s.table.Waiting,
		Handle:   s.handle,
	}
	if err = s.migrate(ctx, store); err == nil {
		s.queue, err = s.newQueue()
	}
	if err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

// handle queues the work about the end of a job, in the transaction of the mark that
// the event was handled.
func (s *service) handle(ctx context.Context, ev *geminihook.Event) error {
	tx, err := pgstore.Tx(ctx)
	if err != nil {
		return err
	}
	task, ended, err := s.table.End(ctx, pgstore.NewQuerier(tx), ev)
	if err != nil || !ended {
		return err
	}
	event, err := ev.MarshalBinary()
	if err != nil {
		return err
	}
	_, err = s.queue.InsertTx(ctx, tx, fetchArgs{Task: task, Event: event}, nil)
	return err
}

// routes are what the Internet can reach.
func (s *service) routes() http.Handler {
	r := chi.NewRouter()
	r.Method(http.MethodPost, "/gemini", s.endpoint.Handler(s.metrics.watch(s.handle)))
	return r
}

// privateRoutes are for the program's own users and for its operators.
func (s *service) privateRoutes() http.Handler {
	r := chi.NewRouter()
	r.Post("/tasks", s.addTask)
	r.Get("/tasks/{task}", s.getTask)
	r.Handle("/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	r.Get("/readyz", s.ready)
	return r
}

// ready responds to the readiness probe.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	err := s.pool.Ping(r.Context())
	if s.draining.Load() || err != nil {
		slog.Warn("not ready", "draining", s.draining.Load(), "error", err)
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	}
}

// stale returns how many jobs somebody should look at, and -1 if that is not known.
func (s *service) stale() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	all, err := s.table.Stale(ctx)
	if err != nil {
		return -1
	}
	return float64(len(all))
}

// purge removes the jobs that ended more than 30 days ago, once an hour.
func (s *service) purge(ctx context.Context) {
	const month = 30 * 24 * time.Hour
	for ctx.Err() == nil {
		if _, err := s.table.Purge(ctx, month, 10_000); err != nil && ctx.Err() == nil {
			slog.Error("old jobs were not removed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
		}
	}
}
