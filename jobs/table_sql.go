package jobs

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Querier executes the statements of a [Table], in a transaction or on a database.
// It has only types of the standard library, so that no module has to require
// another one's driver: NewQuerier of package sqlstore makes one from what
// database/sql has, and NewQuerier of package pgstore from what pgx has.
type Querier interface {
	// Exec executes a statement that returns no rows, and returns how many rows it
	// affected.
	Exec(ctx context.Context, query string, args []any) (int64, error)
	// Query executes a statement and calls row for each row that it returns, with a
	// function that copies the row's columns as [database/sql.Rows.Scan] does. It
	// stops at the first error and returns it.
	Query(
		ctx context.Context, query string, args []any, row func(scan func(...any) error) error,
	) error
}

// Dialect is the SQL of a database. The dialects are those of package sqlstore.
type Dialect int

// The dialects.
const (
	SQLite     Dialect = iota + 1 // SQLite 3.35 or newer
	PostgreSQL                    // PostgreSQL 12 or newer
	MySQL                         // MySQL 8 or newer, or MariaDB 10.6 or newer
)

// String returns the name of the constant.
func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "SQLite"
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// The statements, with the placeholders of SQLite and MySQL.
const (
	// task, kind, added. MySQL reports a task that has a row as an error, and the
	// others as no row.
	sqlAdd      = `INSERT INTO geminihook_jobs (task, kind, added) VALUES (?, ?, ?) ON CONFLICT (task) DO NOTHING`
	sqlAddMySQL = `INSERT INTO geminihook_jobs (task, kind, added) VALUES (?, ?, ?)`

	// task. The second one is not limited to the snapshot of the transaction.
	sqlRow      = `SELECT kind, COALESCE(id, '') FROM geminihook_jobs WHERE task = ?`
	sqlRowMySQL = sqlRow + ` LOCK IN SHARE MODE`

	// task.
	sqlRemove = `DELETE FROM geminihook_jobs WHERE task = ?`

	// id, segment, task.
	sqlCreated = `UPDATE geminihook_jobs SET id = ?, segment = ? WHERE task = ? AND segment IS NULL`

	// segment.
	sqlTask = `SELECT task FROM geminihook_jobs WHERE segment = ?`

	// now, event, segment.
	sqlEnd = `UPDATE geminihook_jobs SET ended = ?, event = ? WHERE segment = ? AND ended = 0`

	// segment, and since when a row without an id may get one soon. One statement
	// reads both, so that a row that gets its id meanwhile is seen with or without it.
	sqlKnown = `
SELECT (SELECT count(*) FROM geminihook_jobs WHERE segment = ?),
	(SELECT count(*) FROM geminihook_jobs WHERE segment IS NULL AND added > ?)`

	sqlCount = `SELECT count(*) FROM geminihook_jobs WHERE ended = 0 AND segment IS NOT NULL`

	// the task before the page, the task after the last page, twice; empty for none;
	// and how many rows to leave out.
	sqlPage = `
SELECT task, kind, id, added FROM geminihook_jobs
WHERE ended = 0 AND segment IS NOT NULL AND task > ? AND (? = '' OR task < ?)
ORDER BY task LIMIT 100 OFFSET ?`

	// added before, for any row; added before, for a row without an id.
	sqlStale = `
SELECT task, kind, COALESCE(id, ''), added FROM geminihook_jobs
WHERE ended = 0 AND (added < ? OR (segment IS NULL AND added < ?))
ORDER BY added LIMIT 1000`

	// ended before, how many.
	sqlPurge = `
DELETE FROM geminihook_jobs WHERE task IN (
	SELECT task FROM geminihook_jobs WHERE ended > 0 AND ended < ? LIMIT ?)`
	sqlPurgeMySQL = `DELETE FROM geminihook_jobs WHERE ended > 0 AND ended < ? LIMIT ?`
)

//go:embed schema/sqlite.sql
var schemaSQLite string

//go:embed schema/postgres.sql
var schemaPostgreSQL string

//go:embed schema/mysql.sql
var schemaMySQL string

// schema returns the statements that create the table.
func (d Dialect) schema() []string {
	schema := schemaSQLite
	switch d {
	case PostgreSQL:
		schema = schemaPostgreSQL
	case MySQL:
		schema = schemaMySQL
	}
	return strings.Split(strings.TrimSuffix(strings.TrimSpace(schema), ";"), ";\n\n")
}

// placeholders returns the statement with the placeholders of the dialect.
func (d Dialect) placeholders(query string) string {
	if d != PostgreSQL {
		return query
	}
	var numbered strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			numbered.WriteString("$" + strconv.Itoa(i))
		}
		numbered.WriteString(part)
	}
	return numbered.String()
}

// statements executes the statements of a Table.
type statements struct {
	dialect Dialect
	querier Querier
}

// on returns the table's statements on a Querier, after a look at the configuration.
func (t *Table) on(q Querier) (statements, error) {
	switch {
	case t.Dialect < SQLite || t.Dialect > MySQL:
		return statements{}, fmt.Errorf("jobs: Table.Dialect: %v is not a dialect", t.Dialect)
	case t.DB == nil:
		return statements{}, errors.New("jobs: Table.DB is not set")
	case q == nil:
		return statements{}, errors.New("jobs: the Querier is nil")
	case t.Late < 0:
		return statements{}, errors.New("jobs: Table.Late is negative")
	}
	return statements{dialect: t.Dialect, querier: q}, nil
}

func (s statements) exec(ctx context.Context, query string, args ...any) (int64, error) {
	n, err := s.querier.Exec(ctx, s.dialect.placeholders(query), args)
	if err != nil {
		return 0, fmt.Errorf("jobs: table geminihook_jobs: %w", err)
	}
	return n, nil
}

// query calls row for each row.
func (s statements) query(
	ctx context.Context, query string, args []any, row func(scan func(...any) error) error,
) error {
	err := s.querier.Query(ctx, s.dialect.placeholders(query), args, row)
	if err != nil {
		return fmt.Errorf("jobs: table geminihook_jobs: %w", err)
	}
	return nil
}

// one scans the row that a statement returns, and reports whether there is one.
func (s statements) one(
	ctx context.Context, query string, args []any, into ...any,
) (found bool, err error) {
	err = s.query(ctx, query, args, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	})
	return found, err
}
