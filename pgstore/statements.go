package pgstore

import (
	"cmp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// statements are the store's SQL with the name of its table.
type statements struct {
	table                               string
	claim, state                        string
	complete, completed, release, renew string
	mark, unmark, purge, releaseLate    string
}

// statements also prepares what depends on the fields of the Store.
func (s *Store) statements() *statements {
	s.once.Do(func() {
		name := pgx.Identifier{cmp.Or(s.Table, DefaultTable)}
		if s.Schema != "" {
			name = append(pgx.Identifier{s.Schema}, name...)
		}
		table := name.Sanitize()
		names := strings.NewReplacer("TABLE", table, "FREE", free, "LITERAL", "'"+strings.ReplaceAll(table, "'", "''")+"'")
		in := names.Replace
		s.sql = statements{
			table: table,
			claim: in(claimSQL), state: in(stateSQL),
			complete: in(completeSQL), completed: in(completedSQL), release: in(releaseSQL), renew: in(renewSQL),
			mark: in(markSQL), unmark: in(unmarkSQL), purge: in(purgeSQL), releaseLate: in(lateSQL),
		}
		s.slots = make(chan struct{}, cmp.Or(s.MaxTransactions, int(max(1, s.pool.Stat().MaxConns()-1))))
	})
	return &s.sql
}

// steps is how many steps a duration is divided into to round up the time when
// a row expires: 2.5 minutes if it is kept for 7 days. Complete then usually
// writes the time that Claim has written, and because the index on it does not
// change, PostgreSQL updates the row in place (HOT). Rows that share a time
// share an entry of the index. See docs/decisions/pgstore-schema.md.
const steps = 4096

// expiry returns for how many seconds from now a row is kept, and the step, also
// in seconds, that the time is rounded up to.
func expiry(keep time.Duration) (seconds, step float64) {
	keep = max(keep, time.Millisecond)
	return keep.Seconds(), max(keep/steps, time.Millisecond).Seconds()
}

// The time is that of the statement's work, not that of its transaction,
// because a claim may have waited for another one.
const (
	free = `(d.expires <= clock_timestamp() OR d.state = 0 OR d.state = 1 AND d.lease <= clock_timestamp())`

	// $1 key, $2 token, $3 lease in microseconds, $4 and $5 of expiry. A key
	// that is not free is only read: the upsert alone would lock its row, which
	// is a write.
	claimSQL = `
INSERT INTO TABLE AS d (key, state, token, attempt, lease, expires)
SELECT $1::bytea, 1, $2::bytea, 1, now + $3::bigint * interval '1 microsecond',
	to_timestamp(ceil((extract(epoch FROM now)::float8 + $4::float8) / $5::float8) * $5::float8)
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE NOT EXISTS (SELECT FROM TABLE AS d WHERE d.key = $1 AND NOT FREE)
ON CONFLICT (key) DO UPDATE SET state = 1, token = excluded.token, lease = excluded.lease, expires = excluded.expires,
	attempt = CASE WHEN d.expires <= clock_timestamp() THEN 1 ELSE d.attempt + 1 END
WHERE FREE
RETURNING attempt`

	stateSQL = `
SELECT state, (extract(epoch FROM lease - clock_timestamp()) * 1000000)::bigint
FROM TABLE AS d WHERE key = $1 AND NOT FREE`

	// $1 key, $2 token, $3 and $4 of expiry.
	completeSQL = `
UPDATE TABLE SET state = 2,
	expires = to_timestamp(ceil((extract(epoch FROM clock_timestamp())::float8 + $3::float8) / $4::float8) * $4::float8)
WHERE key = $1 AND token = $2 AND state = 1`

	// A repeated Complete succeeds and writes nothing.
	completedSQL = `SELECT FROM TABLE WHERE key = $1 AND token = $2 AND state = 2`

	releaseSQL = `UPDATE TABLE SET state = 0, token = NULL WHERE key = $1 AND token = $2 AND state = 1`

	// $1 key, $2 token, $3 lease in microseconds, $4 and $5 of expiry.
	renewSQL = `
UPDATE TABLE SET lease = clock_timestamp() + $3::bigint * interval '1 microsecond', expires = greatest(expires,
	to_timestamp(ceil((extract(epoch FROM clock_timestamp())::float8 + $4::float8) / $5::float8) * $5::float8))
WHERE key = $1 AND token = $2 AND state = 1`

	// $1 keys, $2 tokens.
	lateSQL = `
UPDATE TABLE AS d SET state = 0, token = NULL
FROM unnest($1::bytea[], $2::bytea[]) AS late (key, token)
WHERE d.key = late.key AND d.token = late.token AND d.state = 1
RETURNING late.token`

	// $1 lock, $2 key, $3 and $4 of expiry. Another transaction that
	// marks the key holds the lock: without it nothing is inserted, and so
	// nothing waits. The lock is that of a key in this table.
	markSQL = `
WITH lock AS MATERIALIZED (
	SELECT pg_try_advisory_xact_lock($1::bigint # (LITERAL::regclass::oid::bigint << 32)) AS held
), mark AS (
	INSERT INTO TABLE AS d (key, state, attempt, lease, expires)
	SELECT $2::bytea, 2, 1, now,
		to_timestamp(ceil((extract(epoch FROM now)::float8 + $3::float8) / $4::float8) * $4::float8)
	FROM lock, (SELECT clock_timestamp() AS now) AS clock
	WHERE lock.held AND NOT EXISTS (SELECT FROM TABLE AS d WHERE d.key = $2 AND NOT FREE)
	ON CONFLICT (key) DO UPDATE SET state = 2, token = NULL, attempt = d.attempt + 1, expires = excluded.expires
	WHERE FREE
	RETURNING 1
)
SELECT held, EXISTS (SELECT FROM mark) FROM lock`

	unmarkSQL = `DELETE FROM TABLE WHERE key = $1 AND token IS NULL AND state = 2`

	// $1 how many, $2 a time before which nothing is left. Unlike
	// clock_timestamp(), now() is a condition of the index. The lower bound
	// keeps a scan from passing the entries of rows that were removed before,
	// which remain in the index as long as an old transaction might see them. A
	// row that is being claimed is left for the next time.
	purgeSQL = `
WITH gone AS (
	DELETE FROM TABLE WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM TABLE WHERE expires <= now() AND expires >= $2::timestamptz
		ORDER BY expires LIMIT $1::bigint FOR UPDATE SKIP LOCKED))
	RETURNING expires
)
SELECT count(*), coalesce(max(expires), $2::timestamptz) FROM gone`
)
