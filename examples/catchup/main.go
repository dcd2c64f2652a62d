// Catchup misses no job, although some of its webhooks do not arrive. It keeps a
// table of the jobs that it waits for, and has one function for the end of a job.
// That function is called for webhooks and by a sweep that asks the API, and each job
// gets its result once.
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
	t := &table{db: db}
	if err := t.create(ctx); err != nil {
		return err
	}
	if key == "" {
		return offline(ctx, out, t)
	}
	return online(ctx, out, t, getenv)
}

// newProgram returns the endpoint and the sweep, which share the store and the
// function.
func newProgram(
	ctx context.Context, t *table, client *genai.Client, secret string,
) (http.Handler, *jobs.CatchUp, error) {
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return nil, nil, fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	store := sqlstore.New(t.db, sqlstore.SQLite)
	if err := store.Migrate(ctx); err != nil {
		return nil, nil, err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		result, err := jobs.Fetch(ctx, client, ev)
		if err != nil {
			return err
		}
		return t.finish(ctx, ev, summarize(result))
	}
	endpoint := &geminihook.Endpoint{
		Verifier:   verifier,
		Transactor: store,
		Key:        geminihook.ByJob, // a webhook and the API report the same end
		Logger:     logger,
	}
	catchUp := &jobs.CatchUp{
		Client:   client,
		Endpoint: endpoint,
		Waiting:  t.waiting,
		Handle:   handle,
		Logger:   logger,
	}
	return endpoint.Handler(handle), catchUp, nil
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
func online(ctx context.Context, out io.Writer, t *table, getenv func(string) string) error {
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: getenv("GEMINI_API_KEY"),
	})
	if err != nil {
		return err
	}
	handler, catchUp, err := newProgram(ctx, t, client,
		cmp.Or(getenv("GEMINI_WEBHOOK_SECRET"), webhooktest.RandomSecret()))
	if err != nil {
		return err
	}
	url, stop, err := listen(cmp.Or(getenv("ADDR"), "127.0.0.1:8088"), handler)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "listening on %s/gemini\n", url)
	task := "question-" + time.Now().Format(time.RFC3339)
	err = t.start(ctx, task, jobs.KindBatch, func(ctx context.Context) (string, error) {
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
	if err := sweep(ctx, t, catchUp); err != nil {
		return err
	}
	return t.print(ctx, out)
}

// sweep sweeps until no job is left.
func sweep(ctx context.Context, t *table, catchUp *jobs.CatchUp) error {
	ctx, stop := context.WithCancel(ctx)
	swept := make(chan error, 1)
	go func() { swept <- catchUp.Run(ctx) }()
	for {
		left, err := t.left(ctx)
		if err != nil || left == 0 {
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
