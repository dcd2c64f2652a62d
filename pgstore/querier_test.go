package pgstore_test

import (
	"testing"

	"github.com/geminihook/geminihook/pgstore"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestQuerier: rows arrive in order, and the first error ends the query and leaves the
// connection usable. Module jobs/tabletest has the tests with a jobs.Table.
func TestQuerier(t *testing.T) {
	pool := connect(t, server.Postgres(t).URL)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	q := pgstore.NewQuerier(tx)
	_, err = q.Exec(t.Context(), "CREATE TEMPORARY TABLE numbers (n int) ON COMMIT DROP", nil)
	require.NoError(t, err)
	const insert = "INSERT INTO numbers SELECT generate_series(1, $1::int)"
	n, err := q.Exec(t.Context(), insert, []any{3})
	require.NoError(t, err)
	assert.EqualValues(t, 3, n)
	for _, fail := range []error{nil, assert.AnError} {
		var got []int
		err := q.Query(t.Context(), "SELECT n FROM numbers WHERE n > $1 ORDER BY n", []any{1},
			func(scan func(...any) error) error {
				var n int
				if err := scan(&n); err != nil {
					return err
				}
				got = append(got, n)
				return fail
			})
		if fail == nil {
			require.NoError(t, err)
			assert.Equal(t, []int{2, 3}, got)
			continue
		}
		require.ErrorIs(t, err, fail)
		assert.Equal(t, []int{2}, got)
	}
	err = q.Query(t.Context(), "SELECT nothing", nil, nil)
	require.ErrorContains(t, err, "nothing")
	_, err = q.Exec(t.Context(), "SELECT nothing", nil)
	require.Error(t, err)
}
