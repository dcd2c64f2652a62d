package chaos_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"
)

// The environment of a receiver process.
const (
	kindVariable    = "CHAOS_STORE"
	urlVariable     = "CHAOS_URL"
	addrVariable    = "CHAOS_ADDR"
	journalVariable = "CHAOS_JOURNAL"
)

const lease = time.Second // far above a run, and short enough to wait for

// receive is the receiver's main: a server that lives until it is killed or its
// parent is gone.
func receive(kind string) error {
	s, err := openStore(context.Background(), kind, os.Getenv(urlVariable))
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(os.Getenv(journalVariable), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		return err
	}
	endpoint := &geminihook.Endpoint{
		Verifier:     verifier,
		Store:        s.store,
		Transactor:   s.transactor,
		Lease:        lease,
		StoreTimeout: lease / 2,
	}
	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		run := fmt.Sprintf("%s %d.%d", ev.ID, os.Getpid(), rand.Uint64())
		_, err := fmt.Fprintf(journal, "begin %s %d\n", run, time.Now().UnixNano())
		if err != nil {
			return err
		}
		<-time.After(time.Duration(rand.IntN(30)) * time.Millisecond) // the work
		if err := s.effect(ctx, ev.ID); err != nil {
			return err
		}
		_, err = fmt.Fprintf(journal, "end %s %d\n", run, time.Now().UnixNano())
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

// opened is a store, or a transactor with what a run writes in its database.
type opened struct {
	store      geminihook.Store
	transactor geminihook.Transactor
	effect     func(ctx context.Context, id string) error
}

func openStore(ctx context.Context, kind, url string) (opened, error) {
	none := func(context.Context, string) error { return nil }
	engine, transactional := strings.CutSuffix(kind, " transactional")
	switch engine {
	case "redis":
		options, err := redis.ParseURL(url)
		if err != nil {
			return opened{}, err
		}
		options.ContextTimeoutEnabled = true
		return opened{store: redisstore.New(redis.NewClient(options)), effect: none}, nil
	case "postgres":
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return opened{}, err
		}
		store := pgstore.New(pool)
		if transactional {
			return opened{transactor: store, effect: postgresEffect}, nil
		}
		return opened{store: store, effect: none}, nil
	case "sqlite":
		db, err := sql.Open("sqlite", url)
		if err != nil {
			return opened{}, err
		}
		store := sqlstore.New(db, sqlstore.SQLite)
		if transactional {
			return opened{transactor: store, effect: sqliteEffect}, nil
		}
		return opened{store: store, effect: none}, nil
	}
	return opened{}, fmt.Errorf("no store %q", kind)
}

func postgresEffect(ctx context.Context, id string) error {
	tx, err := pgstore.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", id)
	return err
}

func sqliteEffect(ctx context.Context, id string) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", id)
	return err
}
