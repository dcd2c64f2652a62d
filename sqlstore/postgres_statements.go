package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// postgresStatements are the SQL with the qualified name of the table.
type postgresStatements struct {
	claim, state, renew, complete, completed, release, purge string
	lock, look, mark, remark                                 sessionStatement
}

// $1 is the key, unless the comment says otherwise. newPostgresStatements replaces
// the names in capitals. The time is that of the statement's work, not that of its
// transaction, because a statement may have waited for another one.
const (
	postgresSchemaOf = `
SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid = to_regclass('geminihook_deliveries')`

	postgresFree = `(d.expires <= clock_timestamp() OR d.state = 0
	OR (d.state = 1 AND d.lease <= clock_timestamp()))`

	// $3 token.
	postgresMine = `(d.state = 1 AND d.token = $3::bytea)`

	// When a row that is kept for $2 seconds expires, rounded up to a step of a
	// 4,096th of that: see docs/decisions/pgstore-schema.md.
	postgresExpires = `to_timestamp(
	ceil((date_part('epoch', clock_timestamp()) + $2::float8) / greatest($2::float8 / 4096, 0.001))
		* greatest($2::float8 / 4096, 0.001))`

	// The number of a key's advisory lock is lockOf XOR this, so that a key has another
	// lock in each table.
	postgresNumber = `('TABLE'::regclass::oid::bigint << 32)`

	// $2 keep, $3 token, $4 lease, $5 lock. It returns no row if the key is not
	// free, or if a transaction has its lock, which claims share until they
	// commit. The first condition only reads: the upsert alone would lock the row
	// of a key that is not free, which is a write.
	postgresClaim = `
INSERT INTO TABLE AS d (key, state, token, attempt, lease, expires)
SELECT $1::bytea, 1, $3::bytea, 1, clock_timestamp() + $4::float8 * interval '1 second', EXPIRES
WHERE NOT EXISTS (SELECT FROM TABLE AS d WHERE d.key = $1 AND NOT (FREE OR MINE))
	AND pg_try_advisory_xact_lock_shared($5::bigint # NUMBER)
ON CONFLICT (key) DO UPDATE
SET state = 1, token = excluded.token, lease = excluded.lease, expires = excluded.expires,
	attempt = CASE WHEN d.expires <= clock_timestamp() THEN 1
		WHEN MINE THEN d.attempt ELSE d.attempt + 1 END
WHERE FREE OR MINE
RETURNING attempt`

	// $2 lock. The state is 0 if the key is free. The last column is false if a
	// transaction of another connection has the key.
	postgresState = `
SELECT coalesce(d.state, 0), coalesce(date_part('epoch', d.lease - clock_timestamp()), 0),
	pg_try_advisory_xact_lock_shared($2::bigint # NUMBER)
FROM (SELECT) AS always LEFT JOIN TABLE AS d ON d.key = $1 AND NOT FREE`

	// $2 lease, $3 token.
	postgresRenew = `
UPDATE TABLE SET lease = clock_timestamp() + $2::float8 * interval '1 second',
	expires = greatest(expires, EXPIRES)
WHERE key = $1 AND token = $3::bytea AND state = 1
RETURNING attempt`

	// $2 keep, $3 token.
	postgresComplete = `
UPDATE TABLE SET state = 2, expires = EXPIRES WHERE key = $1 AND token = $3::bytea AND state = 1
RETURNING attempt`

	// $2 token. A repeated Complete succeeds and writes nothing.
	postgresCompleted = `
SELECT attempt FROM TABLE WHERE key = $1 AND token = $2::bytea AND state = 2`

	// $2 token.
	postgresRelease = `
UPDATE TABLE SET state = 0, token = NULL WHERE key = $1 AND token = $2::bytea AND state = 1
RETURNING attempt`

	// $1 how many. Unlike clock_timestamp(), now() is a condition of the index. A
	// row that is being claimed is left for the next time.
	postgresPurge = `
DELETE FROM TABLE WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM TABLE WHERE expires <= now()
	ORDER BY expires LIMIT $1::bigint FOR UPDATE SKIP LOCKED))`

	// $1 how long the transaction may be idle, in milliseconds, $2 lock.
	postgresLock = `
SELECT set_config('idle_in_transaction_session_timeout', $1::text, true),
	set_config('geminihook.locked', pg_try_advisory_xact_lock($2::bigint # NUMBER)::text, true)`

	// It returns as many rows as one of the constants below. The state is read after
	// the lock was taken: in one statement it would be older than the lock, and a
	// mark that was committed in between would be missed.
	postgresLook = `
SELECT FROM generate_series(1, (
	SELECT CASE
		WHEN current_setting('transaction_read_only')::bool THEN 5
		WHEN d.state = 2 AND NOT FREE THEN 4
		WHEN NOT FREE OR NOT current_setting('geminihook.locked')::bool THEN 3
		WHEN d.state IS NOT NULL THEN 2
		ELSE 1 END
	FROM (SELECT) AS always LEFT JOIN TABLE AS d ON d.key = $1::bytea))`

	// $2 keep.
	postgresMark = `
INSERT INTO TABLE AS d (key, state, attempt, lease, expires)
VALUES ($1::bytea, 2, 1, clock_timestamp(), EXPIRES)`

	// The same for a key that had a row when the transaction began. If it is no
	// longer free, because a claim whose lease had ended was renewed or completed
	// meanwhile, the state becomes null, which the table refuses.
	postgresRemark = postgresMark + `
ON CONFLICT (key) DO UPDATE
SET state = CASE WHEN FREE THEN 2 END, token = NULL, attempt = d.attempt + 1,
	expires = excluded.expires`
)

// How many rows postgresLook returns.
const (
	postgresUnknown    = 1 // the key has no row
	postgresKnown      = 2 // the key has a row, and is free
	postgresInProgress = 3
	postgresDone       = 4
	postgresReadOnly   = 5
)

// statements returns the SQL. The first call looks up which schema has the table: a
// function that runs in a transaction may change the search_path, and the
// statements that follow must go to the same table.
func (e *postgres) statements(ctx context.Context) (*postgresStatements, error) {
	if s := e.sql.Load(); s != nil {
		return s, nil
	}
	var schema string
	err := e.db.QueryRowContext(ctx, postgresSchemaOf).Scan(&schema)
	if errors.Is(err, sql.ErrNoRows) {
		err = errors.New("the table geminihook_deliveries does not exist")
	}
	if err != nil {
		return nil, err
	}
	s := newPostgresStatements(schema + ".geminihook_deliveries")
	e.sql.Store(s)
	return s, nil
}

func newPostgresStatements(table string) *postgresStatements {
	number := strings.ReplaceAll(postgresNumber, "TABLE", strings.ReplaceAll(table, "'", "''"))
	in := strings.NewReplacer(
		"NUMBER", number,
		"EXPIRES", postgresExpires,
		"FREE", postgresFree,
		"MINE", postgresMine,
		"TABLE", table,
	).Replace
	return &postgresStatements{
		claim:     in(postgresClaim),
		state:     in(postgresState),
		renew:     in(postgresRenew),
		complete:  in(postgresComplete),
		completed: in(postgresCompleted),
		release:   in(postgresRelease),
		lock:      newSessionStatement(in(postgresLock)),
		look:      newSessionStatement(in(postgresLook)),
		mark:      newSessionStatement(in(postgresMark)),
		remark:    newSessionStatement(in(postgresRemark)),
		purge:     in(postgresPurge),
	}
}

// lockOf returns the key's part of the number of its advisory lock. A sender who
// chooses a key cannot make its lock that of another key.
func lockOf(key string) int64 {
	sum := sha256.Sum256([]byte("geminihook\x00" + key))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// seconds returns a duration as the statements take it, at least a millisecond.
func seconds(d time.Duration) float64 { return max(d, time.Millisecond).Seconds() }
