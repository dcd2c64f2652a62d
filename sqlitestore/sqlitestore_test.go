package sqlitestore_test

import (
	"crypto/rand"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

const settings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"

func connect(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+settings)
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

func newStore(t testing.TB) (*sqlitestore.Store, *sql.DB) {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "test.db"))
}

func closed(t *testing.T) *sqlitestore.Store {
	t.Helper()
	store, db := newStore(t)
	require.NoError(t, db.Close())
	return store
}

func count(t testing.TB, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

// TestClock tests that Now decides when a lease ends.
func TestClock(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
	store.Now = func() time.Time { return now }
	for _, want := range []geminihook.State{geminihook.Acquired, geminihook.InProgress} {
		c, err := store.Claim(t.Context(), "msg_1", rand.Text(), time.Minute, time.Hour)
		require.NoError(t, err)
		assert.Equal(t, want, c.State)
		now = now.Add(time.Minute - time.Millisecond)
	}
	now = now.Add(time.Minute)
	c, err := store.Claim(t.Context(), "msg_1", rand.Text(), time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, c.State)
}

// TestAfterTheLease tests what the holder of a lapsed lease can still do.
func TestAfterTheLease(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
	store.Now = func() time.Time { return now }
	claim := func(token string, want geminihook.State) geminihook.Claim {
		t.Helper()
		c, err := store.Claim(t.Context(), "msg_1", token, time.Minute, time.Hour)
		require.NoError(t, err)
		require.Equal(t, want, c.State)
		return c
	}
	claim("first", geminihook.Acquired)
	now = now.Add(2 * time.Minute)
	require.NoError(t, store.Release(t.Context(), "msg_1", "first"))
	second := claim("second", geminihook.Acquired)
	assert.Equal(t, 2, second.Attempt)
	now = now.Add(2 * time.Minute)
	require.NoError(t, store.Renew(t.Context(), "msg_1", "second", 3*time.Minute))
	require.ErrorIs(t, store.Renew(t.Context(), "msg_1", "first", 3*time.Minute), geminihook.ErrLeaseLost)
	now = now.Add(3*time.Minute - time.Millisecond)
	assert.LessOrEqual(t, claim("other", geminihook.InProgress).RetryIn, time.Millisecond)
	now = now.Add(time.Millisecond)
	claim("third", geminihook.Acquired)
	require.ErrorIs(t, store.Release(t.Context(), "msg_1", "second"), geminihook.ErrLeaseLost)
	require.ErrorIs(t, store.Renew(t.Context(), "msg_1", "second", time.Minute), geminihook.ErrLeaseLost)
	require.NoError(t, store.Complete(t.Context(), "msg_1", "third", time.Hour))
	require.ErrorIs(t, store.Renew(t.Context(), "msg_1", "third", time.Minute), geminihook.ErrLeaseLost)
	claim("other", geminihook.Done)
}

// TestRenewBeyondKeep tests that an entry is not forgotten within its lease.
func TestRenewBeyondKeep(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
	store.Now = func() time.Time { return now }
	_, err := store.Claim(t.Context(), "msg_1", "token", time.Minute, time.Minute)
	require.NoError(t, err)
	require.NoError(t, store.Renew(t.Context(), "msg_1", "token", time.Hour))
	now = now.Add(59 * time.Minute)
	_, err = store.Purge(t.Context(), 0)
	require.NoError(t, err)
	require.NoError(t, store.Complete(t.Context(), "msg_1", "token", time.Hour))
}

// TestCompleteAgain tests that a repeated Complete does not keep the key longer.
func TestCompleteAgain(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
	store.Now = func() time.Time { return now }
	_, err := store.Claim(t.Context(), "msg_1", "token", time.Minute, time.Hour)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, store.Complete(t.Context(), "msg_1", "token", time.Hour))
		now = now.Add(40 * time.Minute)
	}
	c, err := store.Claim(t.Context(), "msg_1", rand.Text(), time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, c.State)
}
