package chaos_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"
)

// The environment of a receiver process.
const (
	kindVariable  = "CHAOS_STORE"
	urlVariable   = "CHAOS_URL"
	addrVariable  = "CHAOS_ADDR"
	journVariable = "CHAOS_JOURNAL"
)

const lease = time.Second // far above a run, and short enough to wait for

// receive is the receiver's main: a server that lives until it is killed or its
// parent is gone.
func receive(kind string) error {
	store, effect, err := openStore(context.Background(), kind, os.Getenv(urlVariable))
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(os.Getenv(journVariable), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		return err
	}
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Store: store, Lease: lease, StoreTimeout: lease / 2,
	}
	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		run := fmt.Sprintf("%s %d.%d", ev.ID, os.Getpid(), rand.Uint64())
		// The lease, which began a little earlier than the run, ends after this.
		deadline, _ := ctx.Deadline()
		if _, err := fmt.Fprintf(journal, "begin %s %d %d\n", run, time.Now().UnixNano(),
			deadline.UnixNano()); err != nil {
			return err
		}
		<-time.After(time.Duration(rand.IntN(30)) * time.Millisecond) // the work
		if err := effect(ctx, ev.ID); err != nil {
			return err
		}
		_, err := fmt.Fprintf(journal, "end %s %d 0\n", run, time.Now().UnixNano())
		return err
	})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server := &http.Server{
		Addr: os.Getenv(addrVariable), Handler: handler, ReadHeaderTimeout: time.Second,
	}
	return server.ListenAndServe()
}

// openStore returns the store, and what a run writes in the store's own
// database, which only a Transactor does.
func openStore(
	ctx context.Context, kind, url string,
) (geminihook.Store, func(ctx context.Context, id string) error, error) {
	none := func(context.Context, string) error { return nil }
	switch kind {
	case "redis":
		options, err := redis.ParseURL(url)
		if err != nil {
			return nil, nil, err
		}
		return redisstore.New(redis.NewClient(options)), none, nil
	case "postgres", "postgres transactional":
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return nil, nil, err
		}
		if kind == "postgres" {
			return pgstore.New(pool), none, nil
		}
		return pgstore.New(pool).Transactional(), func(ctx context.Context, id string) error {
			tx, _ := pgstore.Tx(ctx)
			_, err := tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", id)
			return err
		}, nil
	case "sqlite", "sqlite transactional":
		db, err := sql.Open("sqlite", url)
		if err != nil {
			return nil, nil, err
		}
		if kind == "sqlite" {
			return sqlitestore.New(db), none, nil
		}
		return sqlitestore.New(db).Transactional(), func(ctx context.Context, id string) error {
			tx, _ := sqlitestore.Tx(ctx)
			_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", id)
			return err
		}, nil
	}
	return nil, nil, fmt.Errorf("no store %q", kind)
}
