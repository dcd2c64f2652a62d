// Package ncruces tests with a driver that has the same name as another.
package ncruces

import (
	"testing"

	"github.com/geminihook/geminihook/sqlstore/drivertest"
	_ "github.com/ncruces/go-sqlite3/driver"
)

func TestNcruces(t *testing.T) {
	t.Parallel()
	const settings = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(NORMAL)" // it does not wait for the disk
	drivertest.Run(t, drivertest.SQLite("sqlite3", settings))
}
