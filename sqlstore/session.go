package sqlstore

import (
	"crypto/sha256"
	"fmt"
)

// sessionStatement is a statement that a session of the server knows by name once it
// has prepared it by SQL. Unlike one that the driver prepares, it can be part of a
// text, or take its parameters from the session, and it belongs to no handle of
// database/sql. The server does not plan it again, which can take longer than to
// execute it.
type sessionStatement struct{ name, query string }

// newSessionStatement names the statement by its text, so that programs with other
// versions of it can share the sessions of a pooler.
func newSessionStatement(query string) sessionStatement {
	sum := sha256.Sum256([]byte(query))
	return sessionStatement{name: fmt.Sprintf("geminihook_%x", sum[:8]), query: query}
}
