package sqlitestore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
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

// TestClock tests that Now decides when a lease ends.
func TestClock(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
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

// TestAfterTheLease tests what the holder of a lapsed lease can still do.
func TestAfterTheLease(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
	store.Now = func() time.Time { return now }
	claim := func(want geminihook.State) geminihook.Claim {
		t.Helper()
		c, err := store.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
		require.NoError(t, err)
		require.Equal(t, want, c.State)
		return c
	}
	first := claim(geminihook.Acquired)
	now = now.Add(2 * time.Minute)
	require.NoError(t, store.Release(t.Context(), "msg_1", first.Token))
	second := claim(geminihook.Acquired)
	assert.Equal(t, 2, second.Attempt)
	now = now.Add(2 * time.Minute)
	require.NoError(t, store.Renew(t.Context(), "msg_1", second.Token, 3*time.Minute))
	require.ErrorIs(t, store.Renew(t.Context(), "msg_1", first.Token, 3*time.Minute), geminihook.ErrLeaseLost)
	now = now.Add(3*time.Minute - time.Millisecond)
	assert.LessOrEqual(t, claim(geminihook.InProgress).RetryIn, time.Millisecond)
	now = now.Add(time.Millisecond)
	third := claim(geminihook.Acquired)
	require.ErrorIs(t, store.Release(t.Context(), "msg_1", second.Token), geminihook.ErrLeaseLost)
	require.ErrorIs(t, store.Renew(t.Context(), "msg_1", second.Token, time.Minute), geminihook.ErrLeaseLost)
	require.NoError(t, store.Complete(t.Context(), "msg_1", third.Token, time.Hour))
	require.ErrorIs(t, store.Renew(t.Context(), "msg_1", third.Token, time.Minute), geminihook.ErrLeaseLost)
	claim(geminihook.Done)
}

// TestRenewBeyondKeep tests that an entry is not forgotten within its lease.
func TestRenewBeyondKeep(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
	store.Now = func() time.Time { return now }
	c, err := store.Claim(t.Context(), "msg_1", time.Minute, time.Minute)
	require.NoError(t, err)
	require.NoError(t, store.Renew(t.Context(), "msg_1", c.Token, time.Hour))
	now = now.Add(59 * time.Minute)
	_, err = store.Purge(t.Context(), 0)
	require.NoError(t, err)
	require.NoError(t, store.Complete(t.Context(), "msg_1", c.Token, time.Hour))
}

// TestCompleteAgain tests that a repeated Complete does not keep the key longer.
func TestCompleteAgain(t *testing.T) {
	now := time.Now()
	store, _ := newStore(t)
	store.Now = func() time.Time { return now }
	c, err := store.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, store.Complete(t.Context(), "msg_1", c.Token, time.Hour))
		now = now.Add(40 * time.Minute)
	}
	c, err = store.Claim(t.Context(), "msg_1", time.Minute, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, c.State)
}

// TestGhostClaim tests that a claim which was committed, although its context
// ended before its token was returned, does not block the event.
func TestGhostClaim(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	open(t, file)
	ctx, cancel := context.WithCancel(t.Context())
	db := sql.OpenDB(lateConnector{"file:" + file + settings, cancel})
	t.Cleanup(func() { _ = db.Close() })
	store := sqlitestore.New(db)
	_, err := store.Claim(ctx, "msg_1", time.Hour, time.Hour)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, count(t, db, "SELECT count(*) FROM geminihook_deliveries"), "the claim was committed")
	again := sqlitestore.New(connect(t, file))
	c, err := again.Claim(t.Context(), "msg_1", time.Hour, time.Hour)
	require.NoError(t, err)
	assert.Equal(t, geminihook.Acquired, c.State)
}

// lateConnector connects to SQLite with a driver that notices the end of the
// context only after it has done what it was asked to do.
type lateConnector struct {
	dsn    string
	cancel context.CancelFunc
}

func (c lateConnector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c lateConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	return lateConn{conn, c.cancel}, err
}

type lateConn struct {
	driver.Conn
	cancel context.CancelFunc
}

func (c lateConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(context.WithoutCancel(ctx), query, args)
	if err != nil || !strings.Contains(query, "RETURNING") {
		return rows, err
	}
	return lateRows{rows, ctx, c.cancel}, nil
}

type lateRows struct {
	driver.Rows
	ctx    context.Context
	cancel context.CancelFunc
}

func (r lateRows) Next(dest []driver.Value) error {
	if err := r.Rows.Next(dest); err != nil {
		return err
	}
	r.cancel()
	return r.ctx.Err()
}
