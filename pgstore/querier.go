package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Querier executes the statements of a jobs.Table. Create it with [NewQuerier].
type Querier struct{ db QueryExecer }

// QueryExecer is a [pgx.Tx], such as the one that [Tx] returns, a pgxpool.Pool or a
// [pgx.Conn].
type QueryExecer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// NewQuerier returns a Querier in a transaction, or on a pool or connection. In the
// program's function, that is the transaction that [Tx] returns:
//
//	tx, err := pgstore.Tx(ctx)
//	...
//	task, ended, err := table.End(ctx, pgstore.NewQuerier(tx), ev)
func NewQuerier(db QueryExecer) *Querier { return &Querier{db: db} }

// Exec executes a statement that returns no rows, and returns how many rows it
// affected.
func (q *Querier) Exec(ctx context.Context, query string, args []any) (int64, error) {
	tag, err := q.db.Exec(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return tag.RowsAffected(), nil
}

// Query executes a statement and calls row for each row that it returns, with the Scan
// method of [pgx.Rows]. It stops at the first error and returns it.
func (q *Querier) Query(
	ctx context.Context, query string, args []any, row func(scan func(...any) error) error,
) error {
	rows, err := q.db.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
