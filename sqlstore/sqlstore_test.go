package sqlstore_test

import (
	"database/sql"
	"testing"

	"github.com/geminihook/geminihook/sqlstore"
	"github.com/stretchr/testify/assert"
)

// The tests with databases are in the module drivertest.

func TestNewPanics(t *testing.T) {
	const want = "sqlstore: New: Dialect(0) is not a dialect"
	assert.PanicsWithValue(t, want, func() { sqlstore.New(&sql.DB{}, 0) })
}

func TestDialectString(t *testing.T) {
	for want, d := range map[string]sqlstore.Dialect{
		"SQLite": sqlstore.SQLite, "PostgreSQL": sqlstore.PostgreSQL,
		"MySQL": sqlstore.MySQL, "Dialect(4)": 4,
	} {
		assert.Equal(t, want, d.String())
	}
}
