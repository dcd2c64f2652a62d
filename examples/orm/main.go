// Orm receives webhooks and writes a row for each event with GORM, ent, bun, sqlx or
// sqlc, in the transaction that also marks the event as handled. So each event has
// exactly one row.
//
//	go run .
//
// Without GEMINI_WEBHOOK_SECRET it delivers some events to itself, prints what
// happened, and ends. With -db it uses PostgreSQL or MySQL instead of SQLite.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// function handles an event.
type function = func(ctx context.Context, ev *geminihook.Event) error

// libraries are the database libraries. Each has its own path, and its own table,
// which open creates.
var libraries = []struct {
	name string
	open func(ctx context.Context, d *database) (function, error)
}{
	{name: "gorm", open: openGORM},
	{name: "ent", open: openEnt},
	{name: "bun", open: openBun},
	{name: "sqlx", open: openSQLX},
	{name: "sqlc", open: openSQLC},
}

func main() {
	log.SetFlags(0)
	name := flag.String("db", "", "the `DATABASE`: postgres://…, or mysql:// and a data source name, or a file for SQLite; if empty, a temporary file")
	addr := flag.String("addr", "127.0.0.1:8089", "receive deliveries at this `ADDRESS`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *name, *addr, os.Getenv("GEMINI_WEBHOOK_SECRET")); err != nil {
		log.Fatal("orm: ", err)
	}
}

func run(ctx context.Context, out io.Writer, name, addr, secret string) (err error) {
	if name == "" {
		dir, err := os.MkdirTemp("", "orm-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		name = filepath.Join(dir, "orm.db")
	}
	d, err := open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = d.db.Close() }()

	demonstration := secret == ""
	if demonstration {
		secret = webhooktest.RandomSecret()
	}
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return fmt.Errorf("GEMINI_WEBHOOK_SECRET: %w", err)
	}
	mux := http.NewServeMux()
	for _, lib := range libraries {
		fn, err := lib.open(ctx, d)
		if err != nil {
			return fmt.Errorf("%s: %w", lib.name, err)
		}
		endpoint := &geminihook.Endpoint{Verifier: verifier, Transactor: d.store}
		if demonstration {
			fn, endpoint.Logger = failing(fn), slog.New(slog.DiscardHandler)
		}
		mux.Handle("/"+lib.name, endpoint.Handler(fn))
	}
	url, stop, err := listen(addr, mux)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if demonstration {
		return show(ctx, out, d, secret, url)
	}
	fmt.Fprintf(out, "listening on %s/gorm, and on the same for the other libraries\n", url)
	<-ctx.Done()
	return nil
}

// listen serves h in the background and returns its URL. The server runs until
// stop is called, which waits for the requests that are under way.
func listen(addr string, h http.Handler) (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		// A transaction may wait for RunTimeout, and the function has another one.
		WriteTimeout: 150 * time.Second,
	}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	}, nil
}
