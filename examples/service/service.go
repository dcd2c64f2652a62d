package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/pgstore"
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
	queue    *river.Client[pgx.Tx]
	metrics  *metrics
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
	secrets := &geminihook.SecretFile{Path: getenv("GEMINI_WEBHOOK_SECRET_FILE")}
	if err := secrets.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("GEMINI_WEBHOOK_SECRET_FILE: %w", err)
	}
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
	s.metrics = newMetrics(s.table)
	s.endpoint = &geminihook.Endpoint{
		Verifier:   geminihook.AnyOf(secrets, keys),
		Transactor: store,
		Authorize:  s.table.Authorize, // a webhook may be about somebody else's job
		Key:        geminihook.ByJob,  // a webhook and the API report the same end
		Observe:    s.metrics.observe,
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
	r.Method(http.MethodPost, "/gemini", s.endpoint.Handler(s.metrics.count(s.handle)))
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
	if s.webhook != nil {
		err = errors.Join(err, s.keys.Refresh(r.Context()))
	}
	if s.draining.Load() || err != nil {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	}
}
