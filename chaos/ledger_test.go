package chaos_test

import (
	"context"
	"database/sql"
	"net"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/sqlstore"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
)

// ledger is the program's database: the jobs that it waits for, and the effects of
// their ends.
type ledger struct {
	name       string // of the store
	db         *sql.DB
	store      geminihook.Store
	transactor geminihook.Transactor
	table      *jobs.Table
}

func openLedger(ctx context.Context, kind, url string) (*ledger, error) {
	s, err := openStore(ctx, kind, url)
	if err != nil {
		return nil, err
	}
	l := &ledger{store: s.store, transactor: s.transactor}
	l.name, _ = strings.CutSuffix(kind, transactional)
	var dialect sqlstore.Dialect
	l.db, dialect, err = openSQL(l.name, url, new(net.Dialer).DialContext)
	if err != nil {
		return nil, err
	}
	dialects := map[sqlstore.Dialect]jobs.Dialect{
		sqlstore.SQLite:     jobs.SQLite,
		sqlstore.PostgreSQL: jobs.PostgreSQL,
		sqlstore.MySQL:      jobs.MySQL,
	}
	l.table = &jobs.Table{Dialect: dialects[dialect], DB: sqlstore.NewQuerier(l.db)}
	return l, nil
}

// migrate makes the tables, of which runs is for runs without a transaction of the
// store.
func (l *ledger) migrate(t *testing.T, kind, url string) {
	t.Helper()
	s, err := openStore(t.Context(), kind, url)
	require.NoError(t, err)
	require.NoError(t, s.migrate(t.Context()))
	require.NoError(t, s.close())
	require.NoError(t, l.table.Migrate(t.Context()))
	for _, table := range []string{"effects", "runs"} {
		_, err := l.db.ExecContext(t.Context(),
			"CREATE TABLE "+table+" (task VARCHAR(100), by_process VARCHAR(100))")
		require.NoError(t, err)
	}
}

// effect writes the effect of a job's end and marks the job as ended, in one
// transaction: the store's if it has one.
func (l *ledger) effect(ctx context.Context, ev *geminihook.Event, by string) error {
	if tx, err := pgstore.Tx(ctx); err == nil {
		_, err := l.write(ctx, pgstore.NewQuerier(tx), ev, by)
		return err
	}
	if tx, err := sqlstore.Tx(ctx); err == nil {
		_, err := l.write(ctx, sqlstore.NewQuerier(tx), ev, by)
		return err
	}
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	task, err := l.write(ctx, sqlstore.NewQuerier(tx), ev, by)
	if err != nil {
		return err
	}
	// A run whose job has ended before leaves this trace alone.
	_, err = tx.ExecContext(ctx, l.insert("runs"), task, by)
	if err != nil {
		return err
	}
	return tx.Commit()
}

func (l *ledger) write(
	ctx context.Context, tx jobs.Querier, ev *geminihook.Event, by string,
) (task string, err error) {
	task, ended, err := l.table.End(ctx, tx, ev)
	if err != nil || !ended {
		return task, err
	}
	_, err = tx.Exec(ctx, l.insert("effects"), []any{task, by})
	return task, err
}

func (l *ledger) insert(table string) string {
	return "INSERT INTO " + table + " VALUES (" + placeholder(l.name, 1) + ", " +
		placeholder(l.name, 2) + ")"
}

// rows returns the processes that wrote the rows of each task.
func (l *ledger) rows(t *testing.T, table string) map[string][]string {
	t.Helper()
	rows, err := l.db.QueryContext(t.Context(), "SELECT task, by_process FROM "+table)
	require.NoError(t, err)
	defer rows.Close()
	processes := map[string][]string{}
	for rows.Next() {
		var task, by string
		require.NoError(t, rows.Scan(&task, &by))
		processes[task] = append(processes[task], by)
	}
	require.NoError(t, rows.Err())
	return processes
}

// waiting returns how many jobs have not ended.
func (l *ledger) waiting(t *testing.T) (n int) {
	t.Helper()
	row := l.db.QueryRowContext(t.Context(), "SELECT count(*) FROM geminihook_jobs WHERE ended = 0")
	require.NoError(t, row.Scan(&n))
	return n
}
