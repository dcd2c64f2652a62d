package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

func connect(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func open(t testing.TB, file string) (*sqlitestore.Store, *sql.DB) {
	t.Helper()
	db := connect(t, file)
	store := sqlitestore.New(db)
	require.NoError(t, store.Migrate(t.Context()))
	return store, db
}

func closed(t *testing.T) *sqlitestore.Store {
	t.Helper()
	store, db := open(t, filepath.Join(t.TempDir(), "gone.db"))
	require.NoError(t, db.Close())
	return store
}

func TestStore(t *testing.T) {
	var file string
	storetest.Suite{
		New: func(t *testing.T) geminihook.Store {
			file = filepath.Join(t.TempDir(), "test.db")
			store, _ := open(t, file)
			return store
		},
		Second: func(t *testing.T, _ geminihook.Store) geminihook.Store { return sqlitestore.New(connect(t, file)) },
		Gone:   func(t *testing.T) geminihook.Store { return closed(t) },
	}.Run(t)
}

func TestTransactional(t *testing.T) {
	var store *sqlitestore.Store
	storetest.Suite{
		New: func(t *testing.T) geminihook.Store {
			store, _ = open(t, filepath.Join(t.TempDir(), "test.db"))
			return store.Transactional()
		},
		Second: func(*testing.T, geminihook.Store) geminihook.Store { return store.Transactional() },
		Gone:   func(t *testing.T) geminihook.Store { return closed(t).Transactional() },
	}.Run(t)
}

// TestTwoProcesses: what two handles that know nothing of each other do with
// the same keys.
func TestTwoProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	one, db := open(t, file)
	two, _ := open(t, file)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE effects (id TEXT)")
	require.NoError(t, err)
	const keys = 50
	var all sync.WaitGroup
	for i := range 8 {
		store := []*sqlitestore.Store{one, two}[i%2].Transactional().(geminihook.Transactor)
		all.Go(func() {
			for k := range keys {
				for {
					state, err := store.Transact(t.Context(), string(rune('a'+k)), time.Hour, func(ctx context.Context) error {
						tx, _ := sqlitestore.Tx(ctx)
						_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", k)
						return err
					})
					if err == nil && (state == geminihook.Acquired || state == geminihook.Done) {
						break
					}
				}
			}
		})
	}
	all.Wait()
	var effects, distinct int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*), count(DISTINCT id) FROM effects").Scan(&effects, &distinct))
	assert.Equal(t, keys, effects)
	assert.Equal(t, keys, distinct)
}

func TestMigrateAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	open(t, file) // makes it a file with a write-ahead log, which needs to be alone
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		store := sqlitestore.New(connect(t, file))
		all.Go(func() { errs[i] = store.Migrate(t.Context()) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
}

func TestPurge(t *testing.T) {
	store, db := open(t, filepath.Join(t.TempDir(), "test.db"))
	fill(t, db, "expired", 1300, time.Now().Add(-time.Hour))
	fill(t, db, "fresh", 10, time.Now().Add(time.Hour))
	for _, want := range []struct{ limit, purged int }{{600, 600}, {0, 700}, {0, 0}} {
		n, err := store.Purge(t.Context(), want.limit)
		require.NoError(t, err)
		assert.Equal(t, want.purged, n)
	}
	var rows int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM geminihook_deliveries").Scan(&rows))
	assert.Equal(t, 10, rows)
}

// fill makes rows that are done.
func fill(t testing.TB, db *sql.DB, prefix string, n int, expires time.Time) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < ?2)
		INSERT INTO geminihook_deliveries SELECT CAST(?1 || i AS BLOB), 2, randomblob(26), 1, 0, ?3 FROM c`,
		prefix, n, expires.UnixMicro())
	require.NoError(t, err)
}

// TestWrites: what the function writes is there if and only if the mark is.
func TestWrites(t *testing.T) {
	store, db := open(t, filepath.Join(t.TempDir(), "test.db"))
	_, err := db.ExecContext(t.Context(), "CREATE TABLE effects (id TEXT)")
	require.NoError(t, err)
	for _, tt := range []struct {
		name            string
		end             func() error
		status, effects int
		again           geminihook.Result
	}{
		{"nil", func() error { return nil }, 200, 1, geminihook.Duplicate},
		{"error", func() error { return assert.AnError }, 500, 0, geminihook.Processed},
		{"permanent", func() error { return geminihook.Permanent(assert.AnError) }, 200, 0, geminihook.Duplicate},
		{"panic", func() error { panic("its own") }, 0, 0, geminihook.Processed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			verifier, err := geminihook.NewHMAC(webhooktest.Secret)
			require.NoError(t, err)
			var last geminihook.Result
			endpoint := &geminihook.Endpoint{
				Verifier: verifier, Store: store.Transactional(),
				Observe: func(_ context.Context, o geminihook.Outcome) { last = o.Result },
			}
			first := true
			handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
				tx, ok := sqlitestore.Tx(ctx)
				require.True(t, ok)
				_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", ev.ID)
				require.NoError(t, err)
				if first {
					first = false
					return tt.end()
				}
				return nil
			})
			d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
			deliver := func() (status int) {
				defer func() { _ = recover() }()
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, d.Request("/"))
				return w.Code
			}
			assert.Equal(t, tt.status, deliver())
			var n int
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects WHERE id = ?", d.ID()).Scan(&n))
			assert.Equal(t, tt.effects, n)
			assert.Equal(t, 200, deliver())
			assert.Equal(t, tt.again, last)
		})
	}
	_, ok := sqlitestore.Tx(t.Context())
	assert.False(t, ok)
}

// TestClock: the clock that is given is the one that counts.
func TestClock(t *testing.T) {
	now := time.Now()
	store, _ := open(t, filepath.Join(t.TempDir(), "test.db"))
	store.Now = func() time.Time { return now }
	for _, want := range []geminihook.State{geminihook.Acquired, geminihook.InProgress} {
		c, err := store.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
		require.NoError(t, err)
		assert.Equal(t, want, c.State)
		now = now.Add(time.Minute - time.Millisecond)
	}
	now = now.Add(time.Minute)
	c, err := store.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, c.State)
}
