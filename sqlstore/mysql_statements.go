package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// mysqlStatements are the SQL with the qualified name of the table: a function that
// runs in a transaction may USE another database.
type mysqlStatements struct {
	database                               string
	claim, state, renew, complete, release string
	begin, end, expired, purge             string
	take, mark                             sessionStatement
}

// A claim returns one of these plus four times the number that belongs to it. If a
// transaction has the lock of the key, the claim fails, because expires would be null:
// INSERT … SELECT … WHERE takes half as long again as VALUES.
const (
	mysqlAcquired   = 1 // the attempt
	mysqlDone       = 2
	mysqlInProgress = 3 // the rest of the other lease, in microseconds
)

// mysqlWrongClock is what a mark returns instead of done.
const mysqlWrongClock = 9

// The statements. newMySQLStatements replaces the names in capitals.
const (
	mysqlNow = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`

	// When a row expires, rounded up to a step: see docs/decisions/pgstore-schema.md.
	// Complete then usually writes the time that Claim has written, and InnoDB does
	// not change the index on it. Parameters: those of mysqlKeep.
	mysqlExpires = `((NOW + ?) DIV ? * ? + ?)`

	// The same in a transaction, which has its parameters in variables of the session.
	mysqlExpiresInTransaction = `((NOW + @geminihook_keep) DIV @geminihook_step * @geminihook_step
	+ @geminihook_step)`

	// Before the assignment to the token, and after it.
	mysqlAvailable = `(expires <= NOW OR state = 0
	OR (state = 1 AND (lease <= NOW OR token = VALUES(token))))`
	mysqlMine = `(token = VALUES(token) AND (state <> 2 OR expires <= NOW))`

	// Parameters: key, token, lease, lock, keep. Assignments run from left to
	// right, each with what the ones before it have assigned. A key that was
	// completed with the same token has that token, too, which is why the token
	// alone does not tell whether the claim succeeded.
	mysqlClaim = `
INSERT INTO TABLE (event_key, state, token, attempt, lease, expires)
VALUES (UNHEX(?), 1, UNHEX(?), LAST_INSERT_ID(5) DIV 4, NOW + ?,
	IF(IS_FREE_LOCK(?) = 1, EXPIRES, NULL))
ON DUPLICATE KEY UPDATE
	attempt = CASE WHEN NOT AVAILABLE THEN attempt WHEN expires <= NOW THEN 1
		WHEN state = 1 AND token = VALUES(token) THEN attempt ELSE attempt + 1 END,
	token = IF(AVAILABLE, VALUES(token), token),
	lease = IF(MINE, VALUES(lease), lease),
	state = IF(MINE, 1, state),
	expires = IF(MOD(LAST_INSERT_ID(CASE
		WHEN state = 1 AND token = VALUES(token) THEN 4 * attempt + 1
		WHEN state = 2 THEN 2
		ELSE 4 * (lease - NOW) + 3 END), 4) = 1, VALUES(expires), expires)`

	// Parameters: key, token. It returns no row if the key is free for the token.
	mysqlState = `
SELECT state, lease - NOW FROM TABLE
WHERE event_key = UNHEX(?) AND expires > NOW
	AND (state = 2 OR (state = 1 AND lease > NOW AND token <> UNHEX(?)))`

	// Parameters: lease, lease, key, token.
	mysqlRenew = `
UPDATE TABLE SET lease = NOW + ?, expires = GREATEST(expires, LAST_INSERT_ID(NOW + ?))
WHERE event_key = UNHEX(?) AND token = UNHEX(?) AND state = 1`

	// Parameters: keep, key, token. A repeated Complete does not extend the time that
	// the key is kept.
	mysqlComplete = `
UPDATE TABLE SET expires = IF(state = 1, EXPIRES, expires), state = LAST_INSERT_ID(2)
WHERE event_key = UNHEX(?) AND token = UNHEX(?) AND state IN (1, 2)`

	// Parameters: key, token.
	mysqlRelease = `
UPDATE TABLE SET state = LAST_INSERT_ID(1) - 1, token = NULL
WHERE event_key = UNHEX(?) AND token = UNHEX(?) AND state = 1`

	// %[1]d how many. A row that a transaction has locked is left for the next
	// time.
	mysqlExpired = `
SELECT event_key FROM TABLE WHERE expires <= NOW
ORDER BY expires LIMIT %[1]d FOR UPDATE SKIP LOCKED`

	// %[1]s keys in hexadecimal.
	mysqlPurge = `DELETE FROM TABLE WHERE event_key IN (%[1]s)`

	// These begin and end what a transaction has on its connection, in one round trip
	// each. The lock is that of the session and outlasts the transaction. A connection
	// that has vanished without a word keeps it until wait_timeout, which is 8 hours
	// by default. Without autocommit, the next statement begins the transaction.
	// %[1]s lock, %[2]d how long the function may leave its transaction idle, in
	// seconds, %[3]x key, %[4]d and %[5]d those of mysqlKeep.
	mysqlBegin = `
SET @geminihook_wait = @@SESSION.wait_timeout, @geminihook_isolation = @@SESSION.ISOLATION,
	@geminihook_locked = GET_LOCK('%[1]s', 0), SESSION wait_timeout = %[2]d,
	SESSION ISOLATION = 'READ-COMMITTED', SESSION autocommit = 0,
	@geminihook_key = x'%[3]x', @geminihook_keep = %[4]d, @geminihook_step = %[5]d`

	mysqlEnd = `
SET SESSION wait_timeout = @geminihook_wait, SESSION ISOLATION = @geminihook_isolation,
	SESSION autocommit = 1, SESSION timestamp = DEFAULT, @geminihook_locked = RELEASE_LOCK('%[1]s')`

	// If the lock was taken, it locks the key's row and returns the state: 1 if the key
	// is free. Otherwise it fails, because expires would be null. A claim that has seen
	// the lock free a moment ago is now either committed, or waits for the row until
	// the transaction ends. The row is not the mark: if the function commits it, the
	// key is as after Release.
	mysqlTake = `
INSERT INTO TABLE (event_key, state, attempt, lease, expires)
VALUES (@geminihook_key, 0, 0, LAST_INSERT_ID(1) - 1, IF(@geminihook_locked = 1, EXPIRES, NULL))
ON DUPLICATE KEY UPDATE attempt = IF(LAST_INSERT_ID(CASE
	WHEN expires <= NOW OR state = 0 OR (state = 1 AND lease <= NOW) THEN 1
	WHEN state = 2 THEN 2 ELSE 3 END) > 0, attempt, 0)`

	// It writes the row that mysqlTake has locked. If the function has set the session's
	// timestamp, which is the time of every statement but not that of SYSDATE, the
	// mark would expire at a wrong time: it returns mysqlWrongClock.
	mysqlMark = `
UPDATE TABLE SET token = NULL, attempt = attempt + 1, expires = EXPIRES, state = LAST_INSERT_ID(
	IF(ABS(TIMESTAMPDIFF(SECOND, SYSDATE(), LOCALTIMESTAMP)) < 600, 2, 9))
WHERE event_key = @geminihook_key`
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
	isolation, err := e.isolationVariable(ctx)
	if err != nil {
		return nil, err
	}
	s := newMySQLStatements(database.String, isolation)
	e.sql.Store(s)
	return s, nil
}

// isolationVariable returns the name of the variable that has the isolation level:
// MySQL 8 and MariaDB 10 have different ones.
func (e *mysql) isolationVariable(ctx context.Context) (string, error) {
	var name, value string
	row := e.db.QueryRowContext(ctx, "SHOW VARIABLES LIKE 'transaction_isolation'")
	err := row.Scan(&name, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return "tx_isolation", nil
	}
	return name, err
}

func newMySQLStatements(database, isolation string) *mysqlStatements {
	table := "`" + strings.ReplaceAll(database, "`", "``") + "`.geminihook_deliveries"
	in := func(query, table, expires string) string {
		query = strings.NewReplacer("AVAILABLE", mysqlAvailable, "MINE", mysqlMine,
			"EXPIRES", expires).Replace(query)
		return strings.NewReplacer("TABLE", table, "NOW", mysqlNow,
			"ISOLATION", isolation).Replace(query)
	}
	prepared := func(query string) string { return in(query, table, mysqlExpires) }
	text := func(query string) string {
		return in(query, strings.ReplaceAll(table, "%", "%%"), "")
	}
	inTransaction := func(query string) sessionStatement {
		return newSessionStatement(in(query, table, mysqlExpiresInTransaction))
	}
	return &mysqlStatements{
		database: database,
		claim:    prepared(mysqlClaim),
		state:    prepared(mysqlState),
		renew:    prepared(mysqlRenew),
		complete: prepared(mysqlComplete),
		release:  prepared(mysqlRelease),
		begin:    text(mysqlBegin),
		take:     inTransaction(mysqlTake),
		mark:     inTransaction(mysqlMark),
		end:      text(mysqlEnd),
		expired:  text(mysqlExpired),
		purge:    text(mysqlPurge),
	}
}

// lock returns the name of the key's lock, of at most 64 characters. Locks belong to
// the server, not to a database.
func (s *mysqlStatements) lock(key string) string {
	sum := sha256.Sum256([]byte("geminihook\x00" + s.database + "\x00" + key))
	return fmt.Sprintf("geminihook:%x", sum[:20])
}

// mysqlKeep returns the duration that a row is kept and the step to which the time is
// rounded, a 4,096th of that, in microseconds.
func mysqlKeep(keep time.Duration) (keepFor, step int64) {
	return micros(keep), max(1000, micros(keep)/4096)
}

// claimArgs returns the parameters of claim.
func (s *mysqlStatements) claimArgs(key, token string, lease, keep time.Duration) []any {
	keepFor, step := mysqlKeep(max(lease, keep))
	return []any{
		inHex(key), inHex(token), micros(lease), s.lock(key), keepFor, step, step, step,
	}
}

// completeArgs returns the parameters of complete.
func (s *mysqlStatements) completeArgs(key, token string, keep time.Duration) []any {
	keepFor, step := mysqlKeep(keep)
	return []any{keepFor, step, step, step, inHex(key), inHex(token)}
}

func inHex(text string) string { return hex.EncodeToString([]byte(text)) }

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
