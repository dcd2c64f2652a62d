package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"
)

// sessionStatement is a statement that a session of the server knows by name once it
// has prepared it. PostgreSQL can then execute it as one of several in a text, without
// planning it again, which takes longer than to execute it.
type sessionStatement struct{ name, query string }

// newSessionStatement names the statement by its text, so that programs with other
// versions of it can share the sessions of a pooler.
func newSessionStatement(query string) sessionStatement {
	sum := sha256.Sum256([]byte(query))
	return sessionStatement{name: fmt.Sprintf("geminihook_%x", sum[:8]), query: query}
}

// execute returns the text that executes the statement with SQL expressions as
// parameters.
func (s sessionStatement) execute(args ...string) string {
	return "EXECUTE " + s.name + " (" + strings.Join(args, ", ") + ");"
}

// prepare prepares the statement, unless the session knows it. It needs a transaction
// without a savepoint.
func (s sessionStatement) prepare(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SAVEPOINT prepare; PREPARE "+s.name+" AS "+s.query)
	if sqlState(err) == duplicateStatement {
		_, err = conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT prepare")
	}
	return err
}
