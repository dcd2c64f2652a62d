package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook/jobs/tabletest"
	"github.com/geminihook/geminihook/sqlstore"
	_ "modernc.org/sqlite"
)

func TestSQLite(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) *tabletest.World {
		const settings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate"
		dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + settings
		return tabletest.WithSQL(t, "sqlite", dsn, sqlstore.SQLite)
	})
}
