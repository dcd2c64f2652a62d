package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// mysqlStatements are the SQL with the qualified name of the table: a function that
// runs in a transaction may USE another database.
type mysqlStatements struct {
	database                               string
	claim, state, renew, complete, release string
	take, mark, expired, purge             string
}

// A claim returns one of these plus four times the number that belongs to it. It
// returns zero if a transaction has the lock of the key.
const (
	mysqlAcquired   = 1 // the attempt
	mysqlDone       = 2
	mysqlInProgress = 3 // the rest of the other lease, in microseconds
)

// The statements. newMySQLStatements replaces the names in capitals.
const (
	mysqlNow = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`

	// Before the assignment to the token, and after it.
	mysqlAvailable = `(expires <= claim_now OR state = 0
	OR (state = 1 AND (lease <= claim_now OR token = claim_token)))`
	mysqlMine = `(token = claim_token AND (state <> 2 OR expires <= claim_now))`

	// %[1]x key, %[2]x token, %[3]d lease, %[4]d keep, %[5]s lock. Assignments
	// run from left to right, each with what the ones before it have assigned. A
	// key that was completed with the same token has that token, too, which is
	// why the token alone does not tell whether the claim succeeded.
	mysqlClaim = `
INSERT INTO TABLE (event_key, state, token, attempt, lease, expires)
SELECT claim_key, 1, claim_token, LAST_INSERT_ID(5) DIV 4, claim_now + %[3]d, claim_now + %[4]d
FROM (SELECT x'%[1]x' AS claim_key, x'%[2]x' AS claim_token, NOW AS claim_now) AS claim
WHERE IS_FREE_LOCK('%[5]s') = 1
ON DUPLICATE KEY UPDATE
	attempt = CASE WHEN NOT AVAILABLE THEN attempt WHEN expires <= claim_now THEN 1
		WHEN state = 1 AND token = claim_token THEN attempt ELSE attempt + 1 END,
	token = IF(AVAILABLE, claim_token, token),
	lease = IF(MINE, claim_now + %[3]d, lease),
	state = IF(MINE, 1, state),
	expires = IF(MOD(LAST_INSERT_ID(CASE
		WHEN state = 1 AND token = claim_token THEN 4 * attempt + 1
		WHEN state = 2 THEN 2
		ELSE 4 * (lease - claim_now) + 3 END), 4) = 1, claim_now + %[4]d, expires)`

	// %[1]x key, %[2]x token. It returns no row if the key is free for the token.
	mysqlState = `
SELECT state, lease - NOW FROM TABLE
WHERE event_key = x'%[1]x' AND expires > NOW
	AND (state = 2 OR (state = 1 AND lease > NOW AND token <> x'%[2]x'))`

	// %[1]x key, %[2]x token, %[3]d lease.
	mysqlRenew = `
UPDATE TABLE SET lease = NOW + %[3]d, expires = GREATEST(expires, LAST_INSERT_ID(NOW + %[3]d))
WHERE event_key = x'%[1]x' AND token = x'%[2]x' AND state = 1`

	// %[1]x key, %[2]x token, %[3]d keep. A repeated Complete does not extend the
	// time that the key is kept.
	mysqlComplete = `
UPDATE TABLE SET expires = IF(state = 1, NOW + %[3]d, expires), state = LAST_INSERT_ID(2)
WHERE event_key = x'%[1]x' AND token = x'%[2]x' AND state IN (1, 2)`

	// %[1]x key, %[2]x token.
	mysqlRelease = `
UPDATE TABLE SET state = LAST_INSERT_ID(1) - 1, token = NULL
WHERE event_key = x'%[1]x' AND token = x'%[2]x' AND state = 1`

	// %[1]d how many. A row that a transaction has locked is left for the next
	// time.
	mysqlExpired = `
SELECT event_key FROM TABLE WHERE expires <= NOW
ORDER BY expires LIMIT %[1]d FOR UPDATE SKIP LOCKED`

	// %[1]s keys in hexadecimal.
	mysqlPurge = `DELETE FROM TABLE WHERE event_key IN (%[1]s)`

	// The lock is that of the session and outlasts the transaction. A connection
	// that has vanished without a word keeps it until wait_timeout, which is 8
	// hours by default. %[1]s lock, %[2]d how long the function may leave its
	// transaction idle, in seconds.
	mysqlLock = `
SET @geminihook_wait = @@SESSION.wait_timeout, @geminihook_locked = GET_LOCK('%[1]s', 0),
	SESSION wait_timeout = %[2]d`

	mysqlUnlock = `
SET SESSION wait_timeout = @geminihook_wait, @geminihook_locked = RELEASE_LOCK('%[1]s')`

	// %[1]x key, %[2]d how long a row is kept that nothing else writes. If the lock
	// was taken, it locks the key's row and returns the state: 1 if the key is free. A
	// claim that has seen the lock free a moment ago is now either committed, or
	// waits for the row until the transaction ends. The row is not the mark: if the
	// function commits it, the key is as after Release.
	mysqlTake = `
INSERT INTO TABLE (event_key, state, attempt, lease, expires)
SELECT x'%[1]x', 0, 0, 0, NOW + LAST_INSERT_ID(1) - 1 + %[2]d FROM DUAL WHERE @geminihook_locked = 1
ON DUPLICATE KEY UPDATE attempt = IF(LAST_INSERT_ID(CASE
	WHEN expires <= NOW OR state = 0 OR (state = 1 AND lease <= NOW) THEN 1
	WHEN state = 2 THEN 2 ELSE 3 END) > 0, attempt, 0)`

	// %[1]x key, %[2]d keep. The row may be gone: only if the transaction is still
	// the same, nothing has changed it.
	mysqlMark = `
INSERT INTO TABLE (event_key, state, attempt, lease, expires)
VALUES (x'%[1]x', 2, 1, 0, NOW + %[2]d)
ON DUPLICATE KEY UPDATE state = 2, token = NULL, attempt = attempt + 1, expires = NOW + %[2]d`
)

// statements returns the SQL. The first call looks up the name of the database.
func (e *mysql) statements(ctx context.Context) (*mysqlStatements, error) {
	if s := e.sql.Load(); s != nil {
		return s, nil
	}
	var database sql.NullString
	if err := e.db.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&database); err != nil {
		return nil, err
	}
	if !database.Valid {
		return nil, errors.New("the data source name names no database")
	}
	s := newMySQLStatements(database.String)
	e.sql.Store(s)
	return s, nil
}

func newMySQLStatements(database string) *mysqlStatements {
	table := "`" + strings.ReplaceAll(database, "`", "``") + "`.geminihook_deliveries"
	in := strings.NewReplacer("TABLE", strings.ReplaceAll(table, "%", "%%"), "NOW", mysqlNow,
		"AVAILABLE", mysqlAvailable, "MINE", mysqlMine).Replace
	return &mysqlStatements{
		database: database,
		claim:    in(mysqlClaim),
		state:    in(mysqlState),
		renew:    in(mysqlRenew),
		complete: in(mysqlComplete),
		release:  in(mysqlRelease),
		take:     in(mysqlTake),
		mark:     in(mysqlMark),
		expired:  in(mysqlExpired),
		purge:    in(mysqlPurge),
	}
}

// lock returns the name of the key's lock, of at most 64 characters. Locks belong to
// the server, not to a database.
func (s *mysqlStatements) lock(key string) string {
	sum := sha256.Sum256([]byte("geminihook\x00" + s.database + "\x00" + key))
	return fmt.Sprintf("geminihook:%x", sum[:20])
}

// fits returns an error for a key that is too long: a database whose mode is not
// strict would truncate it.
func fits(key string) error {
	if len(key) > 1024 {
		return fmt.Errorf("a key of %d bytes: the table has room for 1024", len(key))
	}
	return nil
}

// retryDeadlock repeats what the database aborted because of another transaction.
func retryDeadlock[T any](do func() (T, error)) (result T, err error) {
	for range tries {
		result, err = do()
		if number := mysqlNumber(err); number != mysqlDeadlock && number != mysqlChanged {
			break
		}
	}
	return result, err
}
