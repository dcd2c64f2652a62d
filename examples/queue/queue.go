package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	_ "modernc.org/sqlite" // the driver
	"riverqueue.com/riverui"
)

// queue is the endpoint's store and the job queue in one database.
type queue struct {
	transactor geminihook.Transactor
	insert     func(ctx context.Context, j job) error // in the store's transaction
	start      func(ctx context.Context) error        // the workers, until ctx ends
	stopped    func() error                           // waits for the workers
	jobs       func(ctx context.Context) ([]*rivertype.JobRow, error)
	ui         http.Handler
	close      func()
}

func open(ctx context.Context, o options, w *worker) (*queue, error) {
	if o.postgres != "" {
		return openPostgres(ctx, o, w)
	}
	return openSQLite(ctx, o, w)
}

func openPostgres(ctx context.Context, o options, w *worker) (*queue, error) {
	pool, err := pgxpool.New(ctx, o.postgres)
	if err != nil {
		return nil, err
	}
	store := pgstore.New(pool)
	if err := store.Migrate(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return newQueue(ctx, riverpgxv5.New(pool), store, pgstore.Tx, pool.Close, o, w)
}

func openSQLite(ctx context.Context, o options, w *worker) (*queue, error) {
	// With _txlock=immediate, a transaction waits for its turn when it begins,
	// and cannot fail later because another one wrote first. River needs exactly
	// one connection. The endpoint has another one, so that it never waits for a
	// worker to finish.
	dsn := "file:" + o.sqlite + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	var dbs [2]*sql.DB
	for i := range dbs {
		var err error
		if dbs[i], err = sql.Open("sqlite", dsn); err != nil {
			return nil, err
		}
		dbs[i].SetMaxOpenConns(1)
	}
	closeAll := func() {
		for _, db := range dbs {
			_ = db.Close()
		}
	}
	store := sqlstore.New(dbs[0], sqlstore.SQLite)
	if err := store.Migrate(ctx); err != nil {
		closeAll()
		return nil, err
	}
	return newQueue(ctx, riversqlite.New(dbs[1]), store, sqlstore.Tx, closeAll, o, w)
}

// newQueue makes the queue for either engine; TTx is the type of its
// transactions.
func newQueue[TTx any](
	ctx context.Context, driver riverdriver.Driver[TTx], transactor geminihook.Transactor,
	txOf func(context.Context) (TTx, error), closeDB func(), o options, w *worker,
) (_ *queue, err error) {
	defer func() {
		if err != nil {
			closeDB()
		}
	}()
	if err := migrate(ctx, driver); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	config := &river.Config{
		Workers:     workers,
		Logger:      logger,
		MaxAttempts: o.attempts,
		RetryPolicy: backoff{},
		JobTimeout:  o.timeout,
		// After this time, another process takes over the jobs of one that died.
		RescueStuckJobsAfter: o.timeout + o.timeout/2,
		SoftStopTimeout:      10 * time.Second,
	}
	if o.workers > 0 {
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: o.workers}}
	}
	client, err := river.NewClient(driver, config)
	if err != nil {
		return nil, err
	}
	ui, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(client, nil), Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	if err := ui.Start(ctx); err != nil {
		return nil, err
	}
	q := &queue{transactor: transactor, ui: ui, close: closeDB}
	q.insert = func(ctx context.Context, j job) error {
		tx, err := txOf(ctx)
		if err != nil {
			return err
		}
		_, err = client.InsertTx(ctx, tx, j, nil)
		return err
	}
	q.start = func(ctx context.Context) error {
		if o.workers == 0 {
			return nil
		}
		return client.Start(ctx)
	}
	q.stopped = func() error {
		if o.workers == 0 {
			return nil
		}
		<-client.Stopped()
		return nil
	}
	q.jobs = func(ctx context.Context) ([]*rivertype.JobRow, error) {
		list, err := client.JobList(ctx, river.NewJobListParams().First(10_000))
		if err != nil {
			return nil, err
		}
		return list.Jobs, nil
	}
	return q, nil
}

// migrate creates River's tables. If several processes start at the same time, one
// of them creates the tables, and the others succeed when they try again.
func migrate[TTx any](ctx context.Context, driver riverdriver.Driver[TTx]) error {
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	for range 20 {
		if _, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err == nil {
			return nil
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("creating River's tables: %w", err)
}

// wait waits until the job for an event has ended, and returns it.
func (q *queue) wait(ctx context.Context, webhookID string) (*rivertype.JobRow, error) {
	for {
		jobs, err := q.jobs(ctx)
		if err != nil {
			return nil, err
		}
		for _, row := range jobs {
			var j job
			if err := json.Unmarshal(row.EncodedArgs, &j); err != nil {
				return nil, err
			}
			if j.WebhookID == webhookID && row.FinalizedAt != nil {
				return row, nil
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// backoff waits one second after the first attempt and doubles the wait after each
// further attempt, up to 5 minutes.
type backoff struct{}

func (backoff) NextRetry(row *rivertype.JobRow) time.Time {
	doublings := min(max(len(row.Errors)-1, 0), 9)
	wait := min(time.Second<<doublings, 5*time.Minute)
	return time.Now().Add(wait)
}
