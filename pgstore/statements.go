package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const defaultTable = "geminihook_deliveries"

// name returns the name of the table, quoted, and qualified if Schema is set.
func (s *Store) name() string {
	table := s.Table
	if table == "" {
		table = defaultTable
	}
	if s.Schema == "" {
		return pgx.Identifier{table}.Sanitize()
	}
	return pgx.Identifier{s.Schema, table}.Sanitize()
}

// statements are the store's SQL with the qualified name of its table.
type statements struct {
	claim, state, reclaim, renew, complete, completed, release string
	lock, look, mark, remark, purge                            string
}

// statements returns the SQL. If Schema is empty, the first call looks up which
// schema has the table: a function that runs in a transaction may change the
// search_path, and the statements that follow must go to the same table.
func (s *Store) statements(ctx context.Context) (*statements, error) {
	if sql := s.sql.Load(); sql != nil {
		return sql, nil
	}
	table := s.name()
	if s.Schema == "" {
		var schema string
		found, err := s.row(ctx, schemaSQL, []any{table}, &schema)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("the table %s does not exist: "+
				"call Migrate, or apply schema.sql", table)
		}
		table = pgx.Identifier{schema}.Sanitize() + "." + table
	}
	sql := newStatements(table)
	s.sql.Store(sql)
	return sql, nil
}

func newStatements(table string) *statements {
	literal := "'" + strings.ReplaceAll(table, "'", "''") + "'"
	names := strings.NewReplacer("TABLE", table, "FREE", freeSQL, "MINE", mineSQL,
		"EXPIRES", expiresSQL, "NUMBER", "("+literal+"::regclass::oid::bigint << 32)")
	return &statements{
		claim:     names.Replace(claimSQL),
		state:     names.Replace(stateSQL),
		reclaim:   names.Replace(reclaimSQL),
		renew:     names.Replace(renewSQL),
		complete:  names.Replace(completeSQL),
		completed: names.Replace(completedSQL),
		release:   names.Replace(releaseSQL),
		lock:      names.Replace(lockSQL),
		look:      names.Replace(lookSQL),
		mark:      names.Replace(markSQL),
		remark:    names.Replace(remarkSQL),
		purge:     names.Replace(purgeSQL),
	}
}

// lockOf returns the key's part of the number of its advisory lock: the first 64
// bits, in big-endian order, of SHA-256 over the text "geminihook", a zero byte and
// the key. A sender who chooses a key cannot make its lock that of another key. The
// statements XOR it with the table's oid, shifted left by 32 bits, so that two
// tables in one database never share the lock of a key.
func lockOf(key string) int64 {
	sum := sha256.Sum256([]byte("geminihook\x00" + key))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// seconds returns a duration as the statements take it, at least a millisecond.
func seconds(d time.Duration) float64 { return max(d, time.Millisecond).Seconds() }

// The states in the table.
const (
	released = iota
	claimed
	done
)

// The time is that of the statement's work, not that of its transaction, because a
// statement may have waited for another one. $1 is the key, unless the comment says
// otherwise. newStatements replaces the names in capitals.
const (
	schemaSQL = `
SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid = to_regclass($1::text)`

	freeSQL = `(d.expires <= clock_timestamp() OR d.state = 0
	OR (d.state = 1 AND d.lease <= clock_timestamp()))`

	// $3 token.
	mineSQL = `(d.state = 1 AND d.token = $3::bytea)`

	// When a row that is kept for $2 seconds expires, rounded up to a step of a
	// 4,096th of that: 2.5 minutes for 7 days. Complete then usually writes the
	// time that Claim has written, and because the index on it does not change,
	// PostgreSQL updates the row in place (HOT). Rows that share a time share an
	// entry of the index. See docs/decisions/pgstore-schema.md.
	expiresSQL = `to_timestamp(
	ceil((date_part('epoch', clock_timestamp()) + $2::float8) / greatest($2::float8 / 4096, 0.001))
		* greatest($2::float8 / 4096, 0.001))`

	// $2 keep, $3 token, $4 lease, $5 lock. It returns no row if the key has a row
	// or if a transaction has its lock. That is shared among claims, and held
	// until the claim commits, so that a transaction can begin only before or
	// after it.
	claimSQL = `
INSERT INTO TABLE (key, state, token, attempt, lease, expires)
SELECT $1::bytea, 1, $3::bytea, 1, clock_timestamp() + $4::float8 * interval '1 second', EXPIRES
WHERE pg_try_advisory_xact_lock_shared($5::bigint # NUMBER)
ON CONFLICT DO NOTHING
RETURNING attempt`

	// $2 lock, $3 token. The state is 0 if the token could claim the key. The
	// second column is false if a transaction has the lock.
	stateSQL = `
SELECT coalesce(d.state, 0), pg_try_advisory_xact_lock_shared($2::bigint # NUMBER),
	coalesce(date_part('epoch', d.lease - clock_timestamp()), 0)
FROM (SELECT) AS always LEFT JOIN TABLE AS d ON d.key = $1::bytea AND NOT (FREE OR MINE)`

	// The same for a key that has a row.
	reclaimSQL = `
UPDATE TABLE AS d
SET state = 1, token = $3::bytea, lease = clock_timestamp() + $4::float8 * interval '1 second',
	expires = EXPIRES, attempt = CASE WHEN d.expires <= clock_timestamp() THEN 1
		WHEN MINE THEN d.attempt ELSE d.attempt + 1 END
WHERE key = $1::bytea AND (FREE OR MINE) AND pg_try_advisory_xact_lock_shared($5::bigint # NUMBER)
RETURNING attempt`

	// $2 lease, $3 token.
	renewSQL = `
UPDATE TABLE SET lease = clock_timestamp() + $2::float8 * interval '1 second',
	expires = greatest(expires, EXPIRES)
WHERE key = $1 AND token = $3::bytea AND state = 1
RETURNING attempt`

	// $2 keep, $3 token.
	completeSQL = `
UPDATE TABLE SET state = 2, expires = EXPIRES
WHERE key = $1 AND token = $3::bytea AND state = 1
RETURNING attempt`

	// $2 token. A repeated Complete succeeds and writes nothing.
	completedSQL = `SELECT attempt FROM TABLE WHERE key = $1 AND token = $2::bytea AND state = 2`

	// $2 token.
	releaseSQL = `
UPDATE TABLE SET state = 0, token = NULL
WHERE key = $1 AND token = $2::bytea AND state = 1
RETURNING attempt`

	// The lock of a transaction. $1 is how long it may be idle, in milliseconds,
	// and $2 the lock. It is false if another transaction, or a claim that has
	// not committed, has the lock.
	lockSQL = `
SELECT pg_try_advisory_xact_lock($2::bigint # NUMBER), current_setting('transaction_read_only') = 'on'
WHERE set_config('idle_in_transaction_session_timeout', $1, true) IS NOT NULL`

	// A transaction looks at the key after it has the lock. It returns no row if
	// the key has none.
	lookSQL = `SELECT CASE WHEN FREE THEN 0 ELSE state END FROM TABLE AS d WHERE key = $1::bytea`

	// The mark of a transaction. $2 keep.
	markSQL = `
INSERT INTO TABLE AS d (key, state, attempt, lease, expires)
VALUES ($1::bytea, 2, 1, clock_timestamp(), EXPIRES)`

	// The mark of a key that had a row when the transaction began. If it is no
	// longer free, because a claim whose lease had ended was renewed or completed
	// meanwhile, the state becomes null, which the table refuses.
	remarkSQL = markSQL + `
ON CONFLICT (key) DO UPDATE
SET state = CASE WHEN FREE THEN 2 END, token = NULL, attempt = d.attempt + 1,
	expires = excluded.expires`

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
