package pgstore

import (
	"context"
	"crypto/rand"

	"github.com/jackc/pgx/v5"
)

// Check returns an error if the store could not record an event now, for example
// because the database is read-only, the table is missing, or the role has no right
// to write to it. It tries what handling an event takes, in a transaction that it
// rolls back. Use it for readiness, at most every few seconds: each call leaves a
// dead row in the table.
func (s *Store) Check(ctx context.Context) error {
	sql, err := s.statements(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	conn, err := s.acquire(ctx)
	if err != nil {
		return failure(ctx, err)
	}
	defer conn.Release()
	key, token := []byte("check:"+rand.Text()), []byte("check")
	var b pgx.Batch
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
	b.Queue(sql.claim, key, 1.0, token, 1.0, lockOf(string(key)))
	b.Queue(sql.complete, key, 1.0, token)
	b.Queue(sql.look, key)
	if s.PurgeInterval >= 0 {
		b.Queue(sql.purge, 0, s.purge.lowerBound())
	}
	b.Queue("ROLLBACK")
	if err := conn.SendBatch(ctx, &b).Close(); err != nil {
		_ = conn.Conn().Close(ctx)
		return failure(ctx, err)
	}
	return nil
}
