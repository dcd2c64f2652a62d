package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEngines runs all tests that need a database, on each engine.
func TestEngines(t *testing.T) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newName := start(t)
			t.Run("libraries", func(t *testing.T) {
				t.Parallel()
				testLibraries(t, openDatabase(t, newName(t, "libraries")))
			})
			t.Run("gorm", func(t *testing.T) {
				t.Parallel()
				testGORM(t, openDatabase(t, newName(t, "nested_gorm")))
			})
			t.Run("ent", func(t *testing.T) {
				t.Parallel()
				testEnt(t, openDatabase(t, newName(t, "nested_ent")))
			})
			t.Run("sqlx", func(t *testing.T) {
				t.Parallel()
				testSQLX(t, openDatabase(t, newName(t, "nested_sqlx")))
			})
			t.Run("go run", func(t *testing.T) {
				t.Parallel()
				testGoRun(t, newName(t, "go_run"))
			})
			t.Run("kill", func(t *testing.T) {
				t.Parallel()
				testKill(t, newName(t, "killed"))
			})
		})
	}
}

// testLibraries tests that what each library writes is committed and rolled back with
// the mark that the event was handled.
func testLibraries(t *testing.T, d *database) {
	for _, lib := range libraries {
		t.Run(lib.name, func(t *testing.T) {
			t.Parallel()
			fn := openLibrary(t, d, lib.open)
			for name, test := range map[string]func(*testing.T, *database, string, function){
				"duplicate": testDuplicate,
				"error":     testError,
				"permanent": testPermanent,
				"running":   testRunning,
				"at once":   testAtOnce,
				"store":     testStore,
			} {
				t.Run(name, func(t *testing.T) { test(t, d, lib.name, fn) })
			}
			testFailedStatement(t, d, lib.name, fn) // after the others, because the table is away
		})
	}
}

func testDuplicate(t *testing.T, d *database, library string, fn function) {
	receiver, delivery := newReceiver(t, d, fn), newDelivery()
	for range 2 {
		assert.Equal(t, http.StatusOK, deliver(receiver, delivery))
		assert.Equal(t, 1, rowsByID(t, d, library)[delivery.ID()])
	}
}

func testError(t *testing.T, d *database, library string, fn function) {
	delivery := newDelivery()
	failing := newReceiver(t, d, then(fn, func(context.Context) error { return assert.AnError }))
	assert.Equal(t, http.StatusInternalServerError, deliver(failing, delivery))
	assert.Zero(t, rowsByID(t, d, library)[delivery.ID()])
	assert.Equal(t, http.StatusOK, deliver(newReceiver(t, d, fn), delivery))
	assert.Equal(t, 1, rowsByID(t, d, library)[delivery.ID()])
}

func testPermanent(t *testing.T, d *database, library string, fn function) {
	receiver := newReceiver(t, d, then(fn, func(context.Context) error {
		return geminihook.Permanent(assert.AnError)
	}))
	delivery := newDelivery()
	for range 2 {
		assert.Equal(t, http.StatusOK, deliver(receiver, delivery))
		assert.Zero(t, rowsByID(t, d, library)[delivery.ID()])
	}
}

// testRunning delivers an event again while its function runs.
func testRunning(t *testing.T, d *database, library string, fn function) {
	delivery, second := newDelivery(), 0
	var receiver http.Handler
	receiver = newReceiver(t, d, then(fn, func(context.Context) error {
		second = deliver(receiver, delivery)
		return nil
	}))
	assert.Equal(t, http.StatusOK, deliver(receiver, delivery))
	assert.Equal(t, http.StatusServiceUnavailable, second)
	assert.Equal(t, 1, rowsByID(t, d, library)[delivery.ID()])
}

// testAtOnce delivers several events at once, each of them twice at once.
func testAtOnce(t *testing.T, d *database, library string, fn function) {
	sender := &webhooktest.Sender{
		Handler: newReceiver(t, d, fn), Duplicates: 1, Concurrency: 8,
		FirstRetry: 10 * time.Millisecond, GiveUp: time.Minute,
	}
	deliveries := make([]*webhooktest.Delivery, 8)
	for i := range deliveries {
		deliveries[i] = newDelivery()
	}
	report, err := sender.Deliver(t.Context(), deliveries...)
	require.NoError(t, err)
	assert.Empty(t, report.Lost)
	for _, delivery := range deliveries {
		assert.Equal(t, 1, rowsByID(t, d, library)[delivery.ID()])
	}
}

// testStore tests an endpoint that has the Store and no transaction: nothing is
// written outside of one.
func testStore(t *testing.T, d *database, library string, fn function) {
	endpoint := &geminihook.Endpoint{Store: d.store, Logger: slog.New(slog.DiscardHandler)}
	ev, err := geminihook.ParseUnverified([]byte(`{"type":"batch.succeeded"}`))
	require.NoError(t, err)
	ev.ID = newDelivery().ID() // each library has its own
	outcome := endpoint.Process(t.Context(), ev, fn)
	require.ErrorContains(t, outcome.Err, "set Endpoint.Transactor")
	assert.Zero(t, rowsByID(t, d, library)[ev.ID])
}

// testFailedStatement tests that the function returns the driver's error if a
// statement fails, and that nothing of the event remains.
func testFailedStatement(t *testing.T, d *database, library string, fn function) {
	rename := func(from, to string) {
		_, err := d.db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to)
		require.NoError(t, err)
	}
	table, delivery := library+"_results", newDelivery()
	rename(table, library+"_away")
	var fnErr error
	receiver := newReceiver(t, d, func(ctx context.Context, ev *geminihook.Event) error {
		fnErr = fn(ctx, ev)
		return fnErr
	})
	assert.Equal(t, http.StatusInternalServerError, deliver(receiver, delivery))
	require.Error(t, fnErr)
	assert.True(t, isDriverError(fnErr), "%T: %v", fnErr, fnErr)
	rename(library+"_away", table)
	assert.Equal(t, http.StatusOK, deliver(receiver, delivery))
	assert.Equal(t, 1, rowsByID(t, d, library)[delivery.ID()])
}

// testGoRun tests the demonstration.
func testGoRun(t *testing.T, name string) {
	cmd := command(name, "127.0.0.1:0", "")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	out, err := cmd.Output()
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(out), "\n\n")
	assert.Equal(t, strings.TrimPrefix(`
  library  received  failed  handled  duplicates  rows
     gorm        27       3       12          12    12
      ent        27       3       12          12    12
      bun        27       3       12          12    12
     sqlx        27       3       12          12    12
     sqlc        27       3       12          12    12
`, "\n"), table)
}

// TestMistakes tests what run returns if it cannot start.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, db, secret string
		want             string
	}{
		{name: "secret", secret: "short", want: "GEMINI_WEBHOOK_SECRET: "},
		{name: "database", db: "postgres://127.0.0.1:1/", want: "connect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := run(t.Context(), &strings.Builder{}, tt.db, "127.0.0.1:0", tt.secret)
			require.ErrorContains(t, err, tt.want)
		})
	}
}
