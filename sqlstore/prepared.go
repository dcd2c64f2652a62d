package sqlstore

import (
	"context"
	"database/sql"
	"sync"
)

// prepared prepares each statement once. database/sql then prepares it once more
// on each connection that runs it.
type prepared struct {
	db *sql.DB

	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

func newPrepared(db *sql.DB) *prepared { return &prepared{db: db, stmts: map[string]*sql.Stmt{}} }

// get prepares outside of the lock, because the database may be slow to respond.
// It takes a connection of the pool to do so: the caller must not hold one.
func (p *prepared) get(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := p.find(query); stmt != nil {
		return stmt, nil
	}
	stmt, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return p.keep(query, stmt), nil
}

func (p *prepared) find(query string) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stmts[query]
}

// keep remembers the statement, or closes it and returns the first one if several
// goroutines have prepared it at the same time.
func (p *prepared) keep(query string, stmt *sql.Stmt) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	if first := p.stmts[query]; first != nil {
		_ = stmt.Close()
		return first
	}
	p.stmts[query] = stmt
	return stmt
}
