package sqlitestore_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/geminihook/geminihook/sqlitestore"
	"github.com/stretchr/testify/require"
)

func TestMigrateAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.db")
	open(t, file) // changing to the write-ahead log needs to be alone
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		store := sqlitestore.New(connect(t, file))
		all.Go(func() { errs[i] = store.Migrate(t.Context()) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name, dsn string // of a file, unless dsn names another database
		pragma    string // executed on the pool
		want      error
	}{
		{name: "as documented", dsn: settings},
		{name: "no settings", want: sqlitestore.ErrJournalMode},
		{name: "no write-ahead log", dsn: "?_pragma=busy_timeout(5000)", want: sqlitestore.ErrJournalMode},
		{name: "no busy timeout", dsn: "?_pragma=journal_mode(WAL)", want: sqlitestore.ErrBusyTimeout},
		{name: "busy timeout of one connection", dsn: "?_pragma=journal_mode(WAL)", pragma: "PRAGMA busy_timeout = 5000", want: sqlitestore.ErrBusyTimeout},
		{name: "memory", dsn: ":memory:", want: sqlitestore.ErrInMemory},
		{name: "shared memory", dsn: "file::memory:?cache=shared", want: sqlitestore.ErrInMemory},
		{name: "temporary", dsn: "file:", want: sqlitestore.ErrInMemory},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := tt.dsn
			if dsn == "" || dsn[0] == '?' {
				dsn = "file:" + filepath.Join(t.TempDir(), "test.db") + dsn
			}
			db, err := sql.Open("sqlite", dsn)
			require.NoError(t, err)
			defer func() { _ = db.Close() }()
			_, err = db.ExecContext(t.Context(), tt.pragma)
			require.NoError(t, err)
			store := sqlitestore.New(db)
			for name, err := range map[string]error{"Migrate": store.Migrate(t.Context()), "Check": store.Check(t.Context())} {
				if tt.want == nil {
					require.NoError(t, err, name)
				} else {
					require.ErrorIs(t, err, tt.want, name)
				}
			}
		})
	}
}

func TestCheckOneConnection(t *testing.T) {
	db := connect(t, filepath.Join(t.TempDir(), "test.db"))
	db.SetMaxOpenConns(1)
	require.NoError(t, sqlitestore.New(db).Migrate(t.Context()), "it must not wait for a second connection")
}
