package user_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
	_ "modernc.org/sqlite" // the driver
)

func TestStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	store := sqlstore.New(db, sqlstore.SQLite)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	deliver(t, &geminihook.Endpoint{Store: store})
	deliver(t, &geminihook.Endpoint{Transactor: store})
}
