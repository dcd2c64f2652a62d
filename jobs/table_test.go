package jobs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Module tabletest has the tests with databases.

// querier records the statements that it gets, and returns an error.
type querier struct {
	statements []string
	err        error
}

func (q *querier) Exec(_ context.Context, query string, _ []any) (int64, error) {
	q.statements = append(q.statements, query)
	return 0, q.err
}

func (q *querier) Query(
	_ context.Context, query string, _ []any, _ func(func(...any) error) error,
) error {
	q.statements = append(q.statements, query)
	return q.err
}

// TestTableNotSetUp: a mistake shows at Migrate, and in every other method.
func TestTableNotSetUp(t *testing.T) {
	db := &querier{}
	ev := event(t, `{"type":"batch.succeeded","data":{"id":"abc"}}`)
	for _, tt := range []struct {
		name  string
		table *jobs.Table
		text  string
	}{
		{"no dialect", &jobs.Table{DB: db}, "Dialect(0) is not a dialect"},
		{"a dialect of tomorrow", &jobs.Table{Dialect: 4, DB: db}, "Dialect(4) is not a dialect"},
		{"no database", &jobs.Table{Dialect: jobs.SQLite}, "DB is not set"},
		{"negative age", &jobs.Table{Dialect: jobs.SQLite, DB: db, Late: -1}, "Late is negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			_, _, endErr := tt.table.End(ctx, db, ev)
			_, staleErr := tt.table.Stale(ctx)
			_, purgeErr := tt.table.Purge(ctx, 0, 1)
			var waitingErr error
			for _, waitingErr = range tt.table.Waiting(ctx) {
			}
			authorizeErr := tt.table.Authorize(ctx, ev)
			require.NotErrorIs(t, authorizeErr, geminihook.ErrPermanent)
			for _, err := range []error{
				tt.table.Migrate(ctx), tt.table.Add(ctx, db, "a", jobs.KindBatch),
				tt.table.Created(ctx, db, "a", "abc"), tt.table.Remove(ctx, db, "a"),
				authorizeErr, endErr, staleErr, purgeErr, waitingErr,
			} {
				require.ErrorContains(t, err, tt.text)
			}
		})
	}
	table := &jobs.Table{Dialect: jobs.MySQL, DB: db}
	require.ErrorContains(t, table.Add(t.Context(), nil, "a", jobs.KindBatch), "Querier is nil")
	assert.Empty(t, db.statements)
}

// TestTableError: an error of the database is passed on.
func TestTableError(t *testing.T) {
	broken := errors.New("broken")
	db := &querier{err: broken}
	table := &jobs.Table{Dialect: jobs.PostgreSQL, DB: db}
	require.ErrorIs(t, table.Migrate(t.Context()), broken)
	require.ErrorIs(t, table.Add(t.Context(), db, "a", jobs.KindBatch), broken)
	require.ErrorIs(t, table.Remove(t.Context(), db, "a"), broken)
	assert.Equal(t, "DELETE FROM geminihook_jobs WHERE task = $1",
		db.statements[len(db.statements)-1])
}

func TestDialectString(t *testing.T) {
	assert.Equal(t, "SQLite PostgreSQL MySQL", jobs.SQLite.String()+" "+
		jobs.PostgreSQL.String()+" "+jobs.MySQL.String())
}
