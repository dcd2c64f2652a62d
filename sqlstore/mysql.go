package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook"
)

// mysql is the engine of [MySQL].
//
// Values are written into the statements, keys and tokens in hexadecimal: as
// parameters they would cost another round trip, unless the data source name has
// interpolateParams. What a statement did comes back through
// LAST_INSERT_ID(expression), because MySQL has no RETURNING, and the number of rows
// depends on the data source name, too.
type mysql struct {
	db      *sql.DB
	sql     atomic.Pointer[mysqlStatements] // nil until the name of the database is known
	purging purging
}

// mysqlStatements are the SQL with the qualified name of the table: a function that
// runs in a transaction may USE another database.
type mysqlStatements struct {
	database                               string
	claim, state, renew, complete, release string
	take, mark, expired, purge             string
}

// What comes back from a claim is one of these, and four times the number that
// belongs to it. It is zero if a transaction has the lock of the key.
const (
	mysqlAcquired   = 1 // the attempt
	mysqlDone       = 2
	mysqlInProgress = 3 // the rest of the other lease, in microseconds
)

// newMySQLStatements replaces the names in capitals.
const (
	mysqlNow = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))`

	// Before the assignment to the token, and after it.
	mysqlAvailable = `(expires <= claim_now OR state = 0 OR (state = 1 AND (lease <= claim_now OR token = claim_token)))`
	mysqlMine      = `(token = claim_token AND (state <> 2 OR expires <= claim_now))`

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
WHERE event_key = x'%[1]x' AND expires > NOW AND (state = 2 OR (state = 1 AND lease > NOW AND token <> x'%[2]x'))`

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
)

func newMySQL(db *sql.DB) *mysql { return &mysql{db: db} }

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

func (e *mysql) claim(
	ctx context.Context, key, token string, lease, keep time.Duration,
) (geminihook.Claim, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return geminihook.Claim{}, err
	}
	if err := fits(key); err != nil {
		return geminihook.Claim{}, err
	}
	id, err := e.exec(ctx, fmt.Sprintf(s.claim, key, token, micros(lease), micros(max(lease, keep)), s.lock(key)))
	if err != nil {
		return geminihook.Claim{}, err
	}
	switch id % 4 {
	case mysqlAcquired:
		e.purgeSome(ctx)
		return geminihook.Claim{State: geminihook.Acquired, Attempt: int(id / 4)}, nil
	case mysqlDone:
		return geminihook.Claim{State: geminihook.Done}, nil
	case mysqlInProgress:
		return geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Duration(id/4) * time.Microsecond}, nil
	}
	return e.locked(ctx, fmt.Sprintf(s.state, key, token))
}

// fits refuses a key that the database would cut off if its mode is not strict.
func fits(key string) error {
	if len(key) > 1024 {
		return fmt.Errorf("a key of %d bytes: the table has room for 1024", len(key))
	}
	return nil
}

// locked returns the state of a key whose lock a transaction has, or had a moment
// ago.
func (e *mysql) locked(ctx context.Context, query string) (geminihook.Claim, error) {
	var state int
	var left int64
	err := e.db.QueryRowContext(ctx, query).Scan(&state, &left)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return geminihook.Claim{State: geminihook.InProgress}, nil
	case err != nil:
		return geminihook.Claim{}, err
	case state == done:
		return geminihook.Claim{State: geminihook.Done}, nil
	}
	return geminihook.Claim{State: geminihook.InProgress, RetryIn: time.Duration(left) * time.Microsecond}, nil
}

func (e *mysql) renew(ctx context.Context, key, token string, lease time.Duration) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	id, err := e.exec(ctx, fmt.Sprintf(s.renew, key, token, micros(lease)))
	return id > 0, err
}

func (e *mysql) complete(ctx context.Context, key, token string, keep time.Duration) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	id, err := e.exec(ctx, fmt.Sprintf(s.complete, key, token, micros(keep)))
	return id > 0, err
}

func (e *mysql) release(ctx context.Context, key, token string) (bool, error) {
	s, err := e.statements(ctx)
	if err != nil {
		return false, err
	}
	id, err := e.exec(ctx, fmt.Sprintf(s.release, key, token))
	return id > 0, err
}

// exec executes a statement and returns what LAST_INSERT_ID was given.
func (e *mysql) exec(ctx context.Context, query string) (id int64, err error) {
	return retryDeadlock(func() (int64, error) {
		result, err := e.db.ExecContext(ctx, query)
		if err != nil {
			return 0, err
		}
		return result.LastInsertId()
	})
}

// retryDeadlock repeats what the database gave up because of another transaction.
func retryDeadlock[T any](do func() (T, error)) (result T, err error) {
	for range tries {
		result, err = do()
		if number := mysqlNumber(err); number != mysqlDeadlock && number != mysqlChanged {
			break
		}
	}
	return result, err
}
