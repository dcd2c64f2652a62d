package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
)

// newName returns the name of an empty database.
type newName = func(t *testing.T, database string) string

// engines starts a server for each engine, and returns names of databases on it.
var engines = map[string]func(t *testing.T) newName{
	"SQLite": func(*testing.T) newName {
		return func(t *testing.T, database string) string {
			return filepath.Join(t.TempDir(), database+".db")
		}
	},
	"PostgreSQL": func(t *testing.T) newName {
		server := testserver.NewPostgres(t).URL
		return func(t *testing.T, database string) string {
			createDatabase(t, server, database)
			u, err := url.Parse(server)
			require.NoError(t, err)
			u.Path = "/" + database
			return u.String()
		}
	},
	"MariaDB": func(t *testing.T) newName {
		server := "mysql://" + testserver.NewMySQL(t).URL
		return func(t *testing.T, database string) string {
			createDatabase(t, server, database)
			return server[:strings.LastIndex(server, "/")+1] + database
		}
	},
}

func createDatabase(t *testing.T, server, database string) {
	t.Helper()
	_, err := openDatabase(t, server).db.ExecContext(t.Context(), "CREATE DATABASE "+database)
	require.NoError(t, err)
}

// openDatabase opens a database that is closed when the test ends.
func openDatabase(t *testing.T, name string) *database {
	t.Helper()
	d, err := open(t.Context(), name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.db.Close() })
	return d
}

// migrating lets one library at a time create its table, because ent's Schema.Create
// changes a variable of the generated code.
var migrating sync.Mutex

// openLibrary returns the function of a library.
func openLibrary(
	t *testing.T, d *database, open func(context.Context, *database) (function, error),
) function {
	t.Helper()
	migrating.Lock()
	defer migrating.Unlock()
	fn, err := open(t.Context(), d)
	require.NoError(t, err)
	return fn
}

// rowsByID returns how many rows each event has.
func rowsByID(t *testing.T, d *database, library string) map[string]int {
	t.Helper()
	query := "SELECT webhook_id, count(*) FROM " + library + "_results GROUP BY webhook_id"
	rows, err := d.db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		require.NoError(t, rows.Scan(&id, &n))
		counts[id] = n
	}
	require.NoError(t, rows.Err())
	return counts
}

// newReceiver returns a handler that runs fn in a transaction.
func newReceiver(t *testing.T, d *database, fn function) http.Handler {
	t.Helper()
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Transactor: d.store, Logger: slog.New(slog.DiscardHandler),
	}
	return endpoint.Handler(fn)
}

// newDelivery returns a delivery with a genuine signature.
func newDelivery() *webhooktest.Delivery {
	return webhooktest.New(geminihook.EventBatchSucceeded,
		webhooktest.Static(webhooktest.TestSecret))
}

// deliver returns the status of the response.
func deliver(h http.Handler, d *webhooktest.Delivery) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, d.Request("/"))
	_, _ = io.Copy(io.Discard, w.Body)
	return w.Code
}

// isDriverError reports whether the error wraps one of the engine's driver.
func isDriverError(err error) bool {
	return errors.As(err, new(*sqlite.Error)) || errors.As(err, new(*pgconn.PgError)) ||
		errors.As(err, new(*mysql.MySQLError))
}

// then returns a function that runs fn and then returns what next returns.
func then(fn function, next func(ctx context.Context) error) function {
	return func(ctx context.Context, ev *geminihook.Event) error {
		if err := fn(ctx, ev); err != nil {
			return err
		}
		return next(ctx)
	}
}
