package sqlstore

import (
	"context"
	"database/sql"
)

// Querier executes the statements of a jobs.Table. Create it with [NewQuerier].
type Querier struct{ db QueryExecer }

// QueryExecer is a [*sql.Tx], such as the one that [Tx] returns, a [*sql.DB] or a
// [*sql.Conn].
type QueryExecer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// NewQuerier returns a Querier in a transaction, or on a database. In the program's
// function, that is the transaction that [Tx] returns:
//
//	tx, err := sqlstore.Tx(ctx)
//	...
//	task, ended, err := table.End(ctx, sqlstore.NewQuerier(tx), ev)
func NewQuerier(db QueryExecer) *Querier { return &Querier{db: db} }

// Exec executes a statement that returns no rows, and returns how many rows it
// affected.
func (q *Querier) Exec(ctx context.Context, query string, args []any) (int64, error) {
	result, err := q.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Query executes a statement and calls row for each row that it returns, with
// [sql.Rows.Scan]. It stops at the first error and returns it.
func (q *Querier) Query(
	ctx context.Context, query string, args []any, row func(scan func(...any) error) error,
) error {
	rows, err := q.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
