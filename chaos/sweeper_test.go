package chaos_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/webhooktest"
	_ "github.com/jackc/pgx/v5/stdlib"
	"google.golang.org/genai"
)

// More of the environment of a process that also sweeps.
const (
	apiVariable   = "CHAOS_API"
	clockVariable = "CHAOS_CLOCK"
	nameVariable  = "CHAOS_NAME"
)

// sweepLease is far above a run even on a machine that is very busy: a lease that
// ends during a run is a second cause of extra runs.
const sweepLease = 15 * time.Second

// sweep is the main of a process that receives and sweeps, until it is killed or
// its parent is gone.
func sweep(kind string) error {
	ctx := context.Background()
	l, err := openLedger(ctx, kind, os.Getenv(urlVariable))
	if err != nil {
		return err
	}
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	if err != nil {
		return err
	}
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: fakeapi.Key,
		HTTPOptions: genai.HTTPOptions{BaseURL: os.Getenv(apiVariable)},
	})
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	now := func() time.Time { return shifted(os.Getenv(clockVariable)) }
	endpoint := &geminihook.Endpoint{
		Verifier: &geminihook.HMAC{Secrets: []geminihook.Secret{secret}, Now: now},
		Store:    l.store, Transactor: l.transactor, Key: geminihook.ByJob,
		Lease: sweepLease, StoreTimeout: sweepLease / 2, Logger: quiet,
	}
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		if _, err := jobs.Fetch(ctx, client, ev); err != nil {
			return err
		}
		<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond) // the work
		return l.effect(ctx, ev.JobID(), os.Getenv(nameVariable))
	}
	catchUp := &jobs.CatchUp{
		Client: client, Endpoint: endpoint, Waiting: l.waiting, Handle: handle,
		Grace: grace, Interval: 300 * time.Millisecond, PerSecond: 500, Now: now, Logger: quiet,
	}
	go func() {
		fmt.Fprintln(os.Stderr, catchUp.Run(ctx))
		os.Exit(1)
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server := &http.Server{
		Addr: os.Getenv(addrVariable), Handler: endpoint.Handler(handle),
		ReadHeaderTimeout: 5 * time.Second,
	}
	return server.ListenAndServe()
}

// grace leaves half of the jobs to the webhooks until the clock is set forward.
const grace = time.Hour

// shifted is the injected clock: a file has how far it is ahead.
func shifted(file string) time.Time {
	text, _ := os.ReadFile(file)
	ahead, err := time.ParseDuration(string(text))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead)
}

// ledger is the program's database: the jobs that it waits for, and the effects of
// their ends.
type ledger struct {
	db         *sql.DB
	store      geminihook.Store
	transactor geminihook.Transactor
	sqlite     bool
}

func openLedger(ctx context.Context, kind, url string) (*ledger, error) {
	s, err := openStore(ctx, kind, url)
	if err != nil {
		return nil, err
	}
	l := &ledger{store: s.store, transactor: s.transactor}
	driver := "pgx"
	if strings.HasPrefix(kind, "sqlite") {
		driver, l.sqlite = "sqlite", true
	}
	l.db, err = sql.Open(driver, url)
	return l, err
}

// sql has the placeholders of the engine.
func (l *ledger) sql(query string) string {
	if l.sqlite {
		return strings.ReplaceAll(query, "$", "?")
	}
	return query
}

// effect writes the effect of a job's end and deletes the job, in one transaction:
// the store's if it has one.
func (l *ledger) effect(ctx context.Context, job, by string) error {
	if tx, err := pgstore.Tx(ctx); err == nil {
		if _, err := tx.Exec(ctx, "INSERT INTO effects VALUES ($1, $2)", job, by); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM jobs WHERE id = $1", job)
		return err
	}
	if tx, err := sqlstore.Tx(ctx); err == nil {
		return l.write(ctx, tx, job, by)
	}
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := l.write(ctx, tx, job, by); err != nil {
		return err
	}
	return tx.Commit()
}

func (l *ledger) write(ctx context.Context, tx *sql.Tx, job, by string) error {
	_, err := tx.ExecContext(ctx, l.sql("INSERT INTO effects VALUES ($1, $2)"), job, by)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, l.sql("DELETE FROM jobs WHERE id = $1"), job)
	return err
}

// waiting reads the jobs page by page, and holds no connection while they are
// handled.
func (l *ledger) waiting(ctx context.Context) iter.Seq2[jobs.Job, error] {
	return func(yield func(jobs.Job, error) bool) {
		for last := ""; ; {
			page, err := l.page(ctx, last)
			if err != nil {
				yield(jobs.Job{}, err)
				return
			}
			for _, job := range page {
				if last = job.ID; !yield(job, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

func (l *ledger) page(ctx context.Context, after string) (page []jobs.Job, err error) {
	rows, err := l.db.QueryContext(ctx,
		l.sql("SELECT id, kind, created FROM jobs WHERE id > $1 ORDER BY id LIMIT 100"), after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var job jobs.Job
		var created int64
		if err := rows.Scan(&job.ID, &job.Kind, &created); err != nil {
			return nil, err
		}
		job.Created = time.Unix(0, created)
		page = append(page, job)
	}
	return page, rows.Err()
}
