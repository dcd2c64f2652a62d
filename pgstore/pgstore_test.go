package pgstore_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/storetest"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func connect(t testing.TB, url string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	for _, f := range change {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

var schemas atomic.Int64

// inSchema gives the test a schema of its own.
func inSchema(t testing.TB) func(*pgxpool.Config) {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), schemas.Add(1))
	pool := connect(t, server.Postgres(t).URL)
	_, err := pool.Exec(t.Context(), "CREATE SCHEMA "+name)
	require.NoError(t, err)
	pool.Close()
	t.Cleanup(func() {
		pool, err := pgxpool.New(context.Background(), server.Postgres(t).URL)
		if err == nil {
			_, err = pool.Exec(context.Background(), "DROP SCHEMA "+name+" CASCADE")
			pool.Close()
		}
		assert.NoError(t, err)
	})
	return func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["search_path"] = name }
}

func open(t testing.TB, change ...func(*pgxpool.Config)) (*pgstore.Store, *pgxpool.Pool) {
	t.Helper()
	pool := connect(t, server.Postgres(t).URL, append(change, inSchema(t))...)
	store := pgstore.New(pool)
	require.NoError(t, store.Migrate(t.Context()))
	return store, pool
}

func nowhere(c *pgxpool.Config) { c.ConnConfig.Port = 1 }

func TestStore(t *testing.T) {
	for name, change := range map[string]func(*pgxpool.Config){
		"default": func(*pgxpool.Config) {},
		// Databases whose defaults are others, and poolers that know no
		// prepared statements.
		"repeatable read": func(c *pgxpool.Config) {
			c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "repeatable read"
		},
		"unprepared": func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec },
	} {
		t.Run(name, func(t *testing.T) {
			for kind, as := range map[string]func(*pgstore.Store) geminihook.Store{
				"plain":         func(s *pgstore.Store) geminihook.Store { return s },
				"transactional": (*pgstore.Store).Transactional,
			} {
				var in func(*pgxpool.Config)
				var pool *pgxpool.Pool
				t.Run(kind, storetest.Suite{
					New: func(t *testing.T) geminihook.Store {
						in = inSchema(t)
						pool = connect(t, server.Postgres(t).URL, change, in)
						store := pgstore.New(pool)
						require.NoError(t, store.Migrate(t.Context()))
						return as(store)
					},
					Second: func(t *testing.T, _ geminihook.Store) geminihook.Store {
						return as(pgstore.New(connect(t, server.Postgres(t).URL, change, in)))
					},
					Gone: func(t *testing.T) geminihook.Store {
						return as(pgstore.New(connect(t, server.Postgres(t).URL, nowhere)))
					},
					Writes: func(t *testing.T, _ geminihook.Store) storetest.Writes { return writes(t, pool) },
				}.Run)
			}
		})
	}
}

func TestMigrateAtOnce(t *testing.T) {
	in := inSchema(t)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		store := pgstore.New(connect(t, server.Postgres(t).URL, in))
		all.Go(func() {
			for range 3 {
				if err := store.Migrate(t.Context()); err != nil {
					errs[i] = err
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestRoundTrips(t *testing.T) {
	var trips testserver.RoundTrips
	store, _ := open(t, func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = trips.Dial
		c.MaxConns = 1
	})
	var claim geminihook.Claim
	steps := []struct {
		name string
		want int
		do   func(key string) error
	}{
		{"claim", 1, func(key string) (err error) {
			claim, err = store.Claim(t.Context(), key, time.Minute, time.Hour)
			return err
		}},
		{"in progress", 1, func(key string) error {
			c, err := store.Claim(t.Context(), key, time.Minute, time.Hour)
			assert.Equal(t, geminihook.InProgress, c.State)
			return err
		}},
		{"complete", 1, func(key string) error { return store.Complete(t.Context(), key, claim.Token, time.Hour) }},
		{"duplicate", 1, func(key string) error {
			c, err := store.Claim(t.Context(), key, time.Minute, time.Hour)
			assert.Equal(t, geminihook.Done, c.State)
			return err
		}},
		{"transact", 3, func(key string) error {
			_, err := store.Transactional().(geminihook.Transactor).Transact(t.Context(), key+"t", time.Hour,
				func(context.Context) error { return nil })
			return err
		}},
	}
	for _, key := range []string{"warm", "msg_1"} {
		for _, step := range steps {
			trips.Count()
			require.NoError(t, step.do(key), step.name)
			if key != "warm" { // the driver prepares each statement once a connection
				assert.Equal(t, step.want, trips.Count(), step.name)
			}
		}
	}
}

func TestPurge(t *testing.T) {
	store, pool := open(t)
	rows := func() (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM geminihook_deliveries").Scan(&n))
		return n
	}
	fill(t, pool, "expired", 2500, -time.Hour)
	fill(t, pool, "fresh", 10, time.Hour)
	n, err := store.Purge(t.Context(), 1200)
	require.NoError(t, err)
	assert.Equal(t, 1200, n)
	assert.Equal(t, 1310, rows())

	// A row that someone works on is left alone, and not waited for.
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1 FROM geminihook_deliveries WHERE key = 'expired2500' FOR UPDATE")
	require.NoError(t, err)
	n, err = store.Purge(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, 1299, n)
	require.NoError(t, tx.Rollback(t.Context()))
	n, err = store.Purge(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, 10, rows())
}

// fill makes rows that are done and expire after d.
func fill(t testing.TB, pool *pgxpool.Pool, prefix string, n int, d time.Duration) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `INSERT INTO geminihook_deliveries (key, state, token, attempt, lease, expires)
		SELECT ($1::text || i)::bytea, 2, decode(md5(i::text), 'hex'), 1, now(), now() + $3::bigint * interval '1 microsecond'
		FROM generate_series(1, $2::int) AS i`, prefix, n, d.Microseconds())
	require.NoError(t, err)
}

// TestWrites: what the function writes is there if and only if the mark is.
func TestWrites(t *testing.T) {
	store, pool := open(t)
	_, err := pool.Exec(t.Context(), "CREATE TABLE effects (id text)")
	require.NoError(t, err)
	for _, tt := range []struct {
		name            string
		end             func(pgx.Tx) error
		status, effects int
		again           geminihook.Result
	}{
		{"nil", func(pgx.Tx) error { return nil }, 200, 1, geminihook.Duplicate},
		{"error", func(pgx.Tx) error { return assert.AnError }, 500, 0, geminihook.Processed},
		{"permanent", func(pgx.Tx) error { return geminihook.Permanent(assert.AnError) }, 200, 0, geminihook.Duplicate},
		{"panic", func(pgx.Tx) error { panic("its own") }, 0, 0, geminihook.Processed},
		{"commits by itself", func(tx pgx.Tx) error { return tx.Commit(t.Context()) }, 500, 0, geminihook.Processed},
		{"rolls back by itself", func(tx pgx.Tx) error { _ = tx.Rollback(t.Context()); return nil }, 200, 1, geminihook.Duplicate},
		{"failed statement ignored", func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "SELECT 1/0")
			assert.Error(t, err)
			return nil
		}, 503, 0, geminihook.Processed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			verifier, err := geminihook.NewHMAC(webhooktest.Secret)
			require.NoError(t, err)
			var last geminihook.Result
			endpoint := &geminihook.Endpoint{
				Verifier: verifier, Store: store.Transactional(),
				Observe: func(_ context.Context, o geminihook.Outcome) { last = o.Result },
			}
			first := true
			handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
				tx, ok := pgstore.Tx(ctx)
				require.True(t, ok)
				_, err := tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", ev.ID)
				require.NoError(t, err)
				if first {
					first = false
					return tt.end(tx)
				}
				return nil
			})
			d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
			deliver := func() (status int) {
				defer func() { _ = recover() }()
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, d.Request("/"))
				return w.Code
			}
			effects := func() (n int) {
				require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM effects WHERE id = $1", d.ID()).Scan(&n))
				return n
			}
			assert.Equal(t, tt.status, deliver())
			assert.Equal(t, tt.effects, effects())
			assert.Equal(t, 200, deliver())
			assert.Equal(t, tt.again, last)
		})
	}
	_, ok := pgstore.Tx(t.Context())
	assert.False(t, ok)
}

// TestHangsAndRestarts: the sender is answered in time, and nothing needs to be
// restarted but the server.
func TestHangsAndRestarts(t *testing.T) {
	own := testserver.NewPostgres(t)
	proxy := testserver.NewProxy(t, own.Addr)
	pool := connect(t, strings.Replace(own.URL, own.Addr, proxy.Addr, 1))
	store := pgstore.New(pool)
	require.NoError(t, store.Migrate(t.Context()))
	verifier, err := geminihook.NewHMAC(webhooktest.Secret)
	require.NoError(t, err)
	for _, s := range []geminihook.Store{store, store.Transactional()} {
		endpoint := &geminihook.Endpoint{Verifier: verifier, Store: s, StoreTimeout: 250 * time.Millisecond}
		handler := endpoint.Handler(func(context.Context, *geminihook.Event) error { return nil })
		deliver := func() int {
			w := httptest.NewRecorder()
			d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.Secret))
			handler.ServeHTTP(w, d.Request("/"))
			return w.Code
		}
		well := func() bool { return deliver() == http.StatusOK }
		require.Eventually(t, well, time.Minute, 10*time.Millisecond)
		release := proxy.Hold()
		assert.Equal(t, http.StatusServiceUnavailable, deliver(), "it hangs")
		release()
		require.Eventually(t, well, time.Minute, 10*time.Millisecond)
		require.NoError(t, own.Kill())
		assert.Equal(t, http.StatusServiceUnavailable, deliver(), "it is gone")
		require.NoError(t, own.Start())
		require.Eventually(t, well, time.Minute, 10*time.Millisecond)
	}
}
