package sqlstore

import "fmt"

// Dialect is the SQL of a database, and what the store has to know about it.
type Dialect int

// The dialects.
const (
	// SQLite 3.35 or newer, for the processes of one machine. The database must
	// be a file that uses the write-ahead log and a busy timeout, because several
	// connections and processes write to it: [Store.Migrate] and [Store.Check]
	// return an error otherwise.
	//
	// SQLite has one writer at a time, which is the function for as long as it
	// runs: keep it short. The writers of one Store wait for each other in order
	// of arrival until their contexts end, at most 1,000 claims and transactions;
	// further ones fail at once. For writers of other processes, and for those
	// that write to the database without the Store, they wait until the
	// connection's busy timeout has passed.
	//
	// A transaction whose key runs in another transaction of the same Store is
	// InProgress at once. For one in another process it waits like any writer,
	// because SQLite locks the whole database and cannot tell which key it is.
	//
	// The clock is that of the process.
	SQLite Dialect = iota + 1

	// PostgreSQL 12 or newer. The table, and what the statements mean, are those
	// of package pgstore, so programs with either can run side by side. The
	// server's clock decides.
	PostgreSQL

	// MySQL 8 or newer, or MariaDB 10.6 or newer. Keys have at most 1,024 bytes.
	// The server's clock decides.
	MySQL
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
