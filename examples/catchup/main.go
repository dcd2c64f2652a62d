// Catchup misses no job, although some of its webhooks do not arrive. It keeps the jobs
// that it waits for in a jobs.Table, and has one function for the end of a job. That
// function is called for webhooks and by a sweep that asks the API, and each job gets
// its result once.
//
//	go run .
//
// Without GEMINI_API_KEY it talks to a fake of the API in the same process, which
// creates 300 jobs, loses the events of a third of them, and delivers those of
// another third twice. With GEMINI_API_KEY it creates one batch on the real API
// and waits for its end; set GEMINI_WEBHOOK_SECRET to also receive its webhook.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/webhooktest"
	"google.golang.org/genai"
	_ "modernc.org/sqlite" // the driver
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv); err != nil {
		log.Fatal("catchup: ", err)
	}
}

func run(ctx context.Context, out io.Writer, getenv func(string) string) error {
	key, file := getenv("GEMINI_API_KEY"), "catchup.db"
	if key == "" {
		dir, err := os.MkdirTemp("", "catchup")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file = filepath.Join(dir, file)
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	p := &program{
		db:    db,
		store: sqlstore.New(db, sqlstore.SQLite),
		table: &jobs.Table{Dialect: jobs.SQLite, DB: sqlstore.NewQuerier(db)},
	}
	if err := p.migrate(ctx); err != nil {
		return err
	}
	if key == "" {
		return offline(ctx, out, p)
	}
	return online(ctx, out, p, getenv)
}

// program is what the program keeps in its database.
type program struct {
	db    *sql.DB
	store *sqlstore.Store
	table *jobs.Table
}

func (p *program) migrate(ctx context.Context) error {
	if err := p.store.Migrate(ctx); err != nil {
		return err
	}
	if err := p.table.Migrate(ctx); err != nil {
		return err
	}
	_, err := p.db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS results (
	task     TEXT NOT NULL,
	event    TEXT NOT NULL,
	reporter TEXT NOT NULL,
	text     TEXT NOT NULL
)`)
	return err
}

// start creates the job of a task. If the process dies in between, Table.Stale has the
// task.
func (p *program) start(ctx context.Context, task string, kind jobs.Kind,
	create func(context.Context) (id string, err error),
) error {
	if err := p.table.Add(ctx, p.table.DB, task, kind); err != nil {
		return err
	}
	id, err := create(ctx)
	if err != nil {
		return err
	}
	return p.table.Created(ctx, p.table.DB, task, id)
}

// receiver returns the endpoint and the sweep, which share the store and the function.
func (p *program) receiver(
	client *genai.Client, secret string,
) (http.Handler, *jobs.CatchUp, error) {
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return nil, nil, fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		if !ev.EndsJob() {
			return nil // interaction.requires_action: the program would act here
		}
		result, err := jobs.Fetch(ctx, client, ev)
		if err != nil {
			return err
		}
		return p.finish(ctx, ev, summarize(result))
	}
	endpoint := &geminihook.Endpoint{
		Verifier:   verifier,
		Transactor: p.store,
		Key:        geminihook.ByJob,  // a webhook and the API report the same end
		Authorize:  p.table.Authorize, // other people's jobs are ignored
		Logger:     logger,
	}
	catchUp := &jobs.CatchUp{
		Client:   client,
		Endpoint: endpoint,
		Waiting:  p.table.Waiting,
		Handle:   handle,
		Logger:   logger,
	}
	return endpoint.Handler(handle), catchUp, nil
}

// finish writes a result in the transaction of the event's mark.
func (p *program) finish(ctx context.Context, ev *geminihook.Event, text string) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	task, ended, err := p.table.End(ctx, sqlstore.NewQuerier(tx), ev)
	if err != nil || !ended {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO results VALUES (?, ?, ?, ?)", task, ev.Type,
		ev.Proof.Scheme, text)
	return err
}

// summarize returns what the program keeps of a result.
func summarize(r *jobs.Result) string {
	switch {
	case r.Batch != nil:
		return string(r.Batch.State)
	case r.Interaction != nil:
		return cmp.Or(r.OutputText(), string(r.Interaction.Status))
	case r.Video.Error != nil:
		return "failed"
	}
	return "a video"
}

// online creates a batch and sweeps until it has ended.
func online(ctx context.Context, out io.Writer, p *program, getenv func(string) string) error {
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: getenv("GEMINI_API_KEY"),
	})
	if err != nil {
		return err
	}
	secret := cmp.Or(getenv("GEMINI_WEBHOOK_SECRET"), webhooktest.RandomSecret())
	handler, catchUp, err := p.receiver(client, secret)
	if err != nil {
		return err
	}
	url, stop, err := listen(cmp.Or(getenv("ADDR"), "127.0.0.1:8088"), handler)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "listening on %s/gemini\n", url)
	stale, err := p.table.Stale(ctx)
	if err != nil {
		return err
	}
	for _, job := range stale {
		fmt.Fprintf(out, "task %s was added at %v, and its job %q has not ended\n",
			job.Task, job.Created.Format(time.DateTime), job.ID)
	}
	task := "question-" + time.Now().Format(time.RFC3339)
	err = p.start(ctx, task, jobs.KindBatch, func(ctx context.Context) (string, error) {
		question := &genai.InlinedRequest{Contents: genai.Text("Why is the sky blue?")}
		source := &genai.BatchJobSource{InlinedRequests: []*genai.InlinedRequest{question}}
		batch, err := client.Batches.Create(ctx, "gemini-2.5-flash", source, nil)
		if err != nil {
			return "", err
		}
		return batch.Name, nil
	})
	if err != nil {
		return err
	}
	catchUp.Interval = time.Minute
	catchUp.Observe = func(s jobs.Summary) {
		fmt.Fprintf(out, "swept: %d waiting, %d of them have ended\n", s.Waiting, s.Ended)
	}
	if err := p.sweep(ctx, catchUp); err != nil {
		return err
	}
	return p.print(ctx, out)
}

// sweep sweeps until the program waits for no job.
func (p *program) sweep(ctx context.Context, catchUp *jobs.CatchUp) error {
	ctx, stop := context.WithCancel(ctx)
	swept := make(chan error, 1)
	go func() { swept <- catchUp.Run(ctx) }()
	for {
		waits, err := p.waits(ctx)
		if err != nil || !waits {
			stop()
			<-swept // the last runs have ended
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case err := <-swept:
			stop()
			return err
		}
	}
}

// waits reports whether the program waits for a job.
func (p *program) waits(ctx context.Context) (bool, error) {
	for _, err := range p.table.Waiting(ctx) {
		return true, err
	}
	return false, nil
}

// listen serves h in the background and returns its URL. The server runs until
// stop is called.
func listen(addr string, h http.Handler) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		// A transaction may wait for RunTimeout, and run for another.
		WriteTimeout: 150 * time.Second,
		IdleTimeout:  2 * time.Minute,
	}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = server.Close() }, nil
}
