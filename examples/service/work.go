package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"google.golang.org/genai"
)

// createArgs is the work that creates a batch for a task.
type createArgs struct{ Task, Prompt string }

// fetchArgs is the work that fetches the result of a batch that has ended.
type fetchArgs struct {
	Task  string
	Event []byte // as MarshalBinary encodes it
}

func (createArgs) Kind() string { return "create" }
func (fetchArgs) Kind() string  { return "fetch" }

func (s *service) newQueue() (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(s.create))
	river.AddWorker(workers, river.WorkFunc(s.fetch))
	return river.NewClient(riverpgxv5.New(s.pool), &river.Config{
		Queues:     map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Workers:    workers,
		JobTimeout: time.Minute,
		// When another process takes over the work of one that was killed.
		RescueStuckJobsAfter: 5 * time.Minute,
	})
}

func (s *service) migrate(ctx context.Context, store *pgstore.Store) error {
	const results = "CREATE TABLE IF NOT EXISTS results " +
		"(task text PRIMARY KEY, state text NOT NULL, text text NOT NULL)"
	if _, err := s.pool.Exec(ctx, results); err != nil {
		return err
	}
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	if err := s.table.Migrate(ctx); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(s.pool), nil)
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// addTask remembers a task and queues the creation of its batch. From here on,
// nothing is lost if the process is killed.
func (s *service) addTask(w http.ResponseWriter, r *http.Request) {
	var args createArgs
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&args); err != nil {
		http.Error(w, "send a JSON object with task and prompt", http.StatusBadRequest)
		return
	}
	if args.Task == "" || len(args.Task) > 255 || args.Prompt == "" {
		const text = "task must have 1 to 255 bytes, and prompt at least one"
		http.Error(w, text, http.StatusBadRequest)
		return
	}
	err := pgx.BeginFunc(r.Context(), s.pool, func(tx pgx.Tx) error {
		err := s.table.Add(r.Context(), pgstore.NewQuerier(tx), args.Task, jobs.KindBatch)
		if err != nil {
			return err
		}
		_, err = s.queue.InsertTx(r.Context(), tx, args, nil)
		return err
	})
	switch {
	case errors.Is(err, jobs.ErrTaskExists):
		http.Error(w, "the task exists already", http.StatusConflict)
	case err != nil:
		fail(w, err)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// fail logs why a request failed, and does not tell the client.
func fail(w http.ResponseWriter, err error) {
	slog.Error("a request failed", "error", err)
	http.Error(w, "internal error", http.StatusInternalServerError)
}

// create creates a batch. If the process is killed before the table has its name,
// River calls create again: the API then has two batches for the task, and the events
// of the first are ignored.
func (s *service) create(ctx context.Context, work *river.Job[createArgs]) error {
	question := &genai.InlinedRequest{Contents: genai.Text(work.Args.Prompt)}
	source := &genai.BatchJobSource{InlinedRequests: []*genai.InlinedRequest{question}}
	config := &genai.CreateBatchJobConfig{WebhookConfig: s.webhook}
	batch, err := s.client.Batches.Create(ctx, "gemini-2.5-flash", source, config)
	if err != nil {
		return err
	}
	// The name and the end of this work are committed together: otherwise River would
	// create another batch after a crash in between.
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := s.table.Created(ctx, pgstore.NewQuerier(tx), work.Args.Task, batch.Name)
		if err != nil {
			return err
		}
		_, err = river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, work)
		return err
	})
	if errors.Is(err, jobs.ErrJobExists) {
		return river.JobCancel(err)
	}
	return err
}

// fetch keeps the result of a batch.
func (s *service) fetch(ctx context.Context, work *river.Job[fetchArgs]) error {
	var ev geminihook.Event
	if err := ev.UnmarshalBinary(work.Args.Event); err != nil {
		return river.JobCancel(err)
	}
	fetched, err := jobs.Fetch(ctx, s.client, &ev)
	if errors.Is(err, geminihook.ErrPermanent) {
		return river.JobCancel(err) // the API does not have it any more
	}
	if err != nil {
		return err
	}
	text, err := s.text(ctx, fetched.Batch)
	if err != nil {
		return err
	}
	const insert = "INSERT INTO results (task, state, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
	_, err = s.pool.Exec(ctx, insert, work.Args.Task, string(fetched.Batch.State), text)
	return err
}

// text returns what the model said, or why there is nothing.
func (s *service) text(ctx context.Context, batch *genai.BatchJob) (string, error) {
	if batch.State != genai.JobStateSucceeded && batch.State != genai.JobStatePartiallySucceeded {
		if batch.Error != nil {
			return batch.Error.Message, nil
		}
		return "", nil
	}
	var text strings.Builder
	for response, err := range jobs.Results(ctx, s.client, batch) {
		switch {
		case err != nil:
			return "", err
		case response.Error != nil:
			text.WriteString(response.Error.Message)
		case response.Content != nil:
			text.WriteString(response.Content.Text())
		}
	}
	return text.String(), nil
}

// getTask responds with the result of a task.
func (s *service) getTask(w http.ResponseWriter, r *http.Request) {
	var state, text string
	const query = "SELECT state, text FROM results WHERE task = $1"
	err := s.pool.QueryRow(r.Context(), query, chi.URLParam(r, "task")).Scan(&state, &text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		http.Error(w, "no result yet", http.StatusNotFound)
	case err != nil:
		fail(w, err)
	default:
		w.Header().Set("Batch-State", state)
		_, _ = io.WriteString(w, text) // the client may have gone away
	}
}
