// Package orm tests that database libraries work in the store's transaction, with
// the lines that the README of sqlstore shows.
package orm

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/schema/field"
	"github.com/geminihook/geminihook/sqlstore"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"
)

// Result is a row of the program.
type Result struct {
	ID string `bun:",pk" db:"id" gorm:"primaryKey"`
}

// insertFunc inserts a row in the transaction of the context.
type insertFunc func(ctx context.Context, id string) error

// TestLibraries tests that the writes of each library are committed and rolled back
// with the transaction, and that a library that begins a transaction inside, as GORM
// does for each write, does not end the store's.
func TestLibraries(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, db *sql.DB) insertFunc{
		"database/sql": plain,
		"sqlc":         likeSQLC,
		"sqlx":         withSQLX,
		"bun":          withBun,
		"GORM":         withGORM,
		"ent":          withEnt,
	} {
		t.Run(name, func(t *testing.T) {
			const settings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
			file := filepath.Join(t.TempDir(), "test.db")
			db := drivertest.Connect(t, "sqlite", "file:"+file+settings)
			store := sqlstore.New(db, sqlstore.SQLite)
			require.NoError(t, store.Migrate(t.Context()))
			_, err := db.ExecContext(t.Context(), "CREATE TABLE results (id TEXT PRIMARY KEY)")
			require.NoError(t, err)
			insert := open(t, db)
			two := func(ctx context.Context) error {
				return errors.Join(insert(ctx, "1"), insert(ctx, "2"))
			}
			_, err = store.Transact(t.Context(), "msg_1", time.Hour, two)
			require.NoError(t, err)
			failing := func(ctx context.Context) error {
				return errors.Join(insert(ctx, "3"), assert.AnError)
			}
			_, err = store.Transact(t.Context(), "msg_2", time.Hour, failing)
			require.ErrorIs(t, err, assert.AnError)
			var rows int
			count := db.QueryRowContext(t.Context(), "SELECT count(*) FROM results")
			require.NoError(t, count.Scan(&rows))
			assert.Equal(t, 2, rows)
		})
	}
}

func plain(*testing.T, *sql.DB) insertFunc {
	return func(ctx context.Context, id string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO results (id) VALUES (?)", id)
		return err
	}
}

// queries is what sqlc generates.
type queries struct{ db dbtx }

type dbtx interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func (q *queries) WithTx(tx *sql.Tx) *queries { return &queries{db: tx} }

func (q *queries) CreateResult(ctx context.Context, id string) error {
	_, err := q.db.ExecContext(ctx, "INSERT INTO results (id) VALUES (?)", id)
	return err
}

func likeSQLC(_ *testing.T, db *sql.DB) insertFunc {
	q := &queries{db: db}
	return func(ctx context.Context, id string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		return q.WithTx(tx).CreateResult(ctx, id)
	}
}

func withSQLX(_ *testing.T, sqlDB *sql.DB) insertFunc {
	db := sqlx.NewDb(sqlDB, "sqlite3")
	return func(ctx context.Context, id string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		query, args, err := db.BindNamed("INSERT INTO results (id) VALUES (:id)", Result{ID: id})
		if err != nil {
			return err
		}
		x := sqlx.Tx{Tx: tx, Mapper: db.Mapper}
		if _, err := x.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		var read Result
		return x.GetContext(ctx, &read, "SELECT * FROM results WHERE id = ?", id)
	}
}

func withBun(_ *testing.T, sqlDB *sql.DB) insertFunc {
	db := bun.NewDB(sqlDB, sqlitedialect.New())
	return func(ctx context.Context, id string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = db.NewInsert().Conn(tx).Model(&Result{ID: id}).Exec(ctx)
		return err
	}
}

func withGORM(t *testing.T, sqlDB *sql.DB) insertFunc {
	t.Helper()
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: sqlDB}))
	require.NoError(t, err)
	return func(ctx context.Context, id string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		orm := db.WithContext(ctx)
		orm.Statement.ConnPool = tx
		return orm.Transaction(func(orm *gorm.DB) error {
			return orm.Create(&Result{ID: id}).Error
		})
	}
}

// entTx is a driver of ent in a transaction that ent does not end.
type entTx struct{ dialect.Driver }

func (d entTx) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d), nil }

// withEnt does what a client does that ent generates.
func withEnt(*testing.T, *sql.DB) insertFunc {
	return func(ctx context.Context, id string) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		driver := entTx{entsql.NewDriver(dialect.SQLite, entsql.Conn{ExecQuerier: tx})}
		if _, err := driver.Tx(ctx); err != nil { // as for a node with edges
			return err
		}
		node := sqlgraph.NewCreateSpec("results", sqlgraph.NewFieldSpec("id", field.TypeString))
		node.ID.Value = id
		return sqlgraph.CreateNode(ctx, driver, node)
	}
}
