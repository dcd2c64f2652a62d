package chaos_test

import (
	"database/sql"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/stretchr/testify/require"
)

// backend is the database of a store. If it has a server, receivers reach it through
// a proxy. What the server has acknowledged is on disk.
type backend struct {
	url    string // for receivers
	direct string
	server *testserver.Server // nil if there is none
	proxy  *testserver.Proxy
	db     *sql.DB // nil if there is none
}

// open starts the backend of a kind and makes its tables.
func open(t *testing.T, kind string) *backend {
	t.Helper()
	b := &backend{}
	name, _ := strings.CutSuffix(kind, transactional)
	switch name {
	case "redis":
		b.server = testserver.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	case "postgres", "sqlstore postgres":
		b.server = testserver.NewPostgres(t, "-c", "fsync=on")
	case "sqlstore mysql":
		b.server = testserver.NewMySQL(t, "--innodb-flush-log-at-trx-commit=1")
	default:
		b.direct = "file:" + filepath.Join(t.TempDir(), "chaos.db") +
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
	}
	b.url = b.direct
	if b.server != nil {
		b.proxy = testserver.NewProxy(t, b.server.Addr)
		b.direct = b.server.URL
		b.url = strings.Replace(b.direct, b.server.Addr, b.proxy.Addr, 1)
	}
	if name != "redis" {
		b.migrate(t, name)
	}
	return b
}

// migrate makes the tables of the store and of the effects.
func (b *backend) migrate(t *testing.T, name string) {
	t.Helper()
	s, err := openStore(t.Context(), name, b.direct)
	require.NoError(t, err)
	require.NoError(t, s.migrate(t.Context()))
	require.NoError(t, s.close())
	b.db, _, err = openSQL(name, b.direct, new(net.Dialer).DialContext)
	require.NoError(t, err)
	b.db.SetMaxIdleConns(-1) // they would be broken after the server was killed
	t.Cleanup(func() { _ = b.db.Close() })
	b.exec(t, "CREATE TABLE effects (id VARCHAR(100))")
}

func (b *backend) exec(t *testing.T, query string) {
	t.Helper()
	_, err := b.db.ExecContext(t.Context(), query)
	require.NoError(t, err)
}

// effects returns how many runs were committed, by the id of the event.
func (b *backend) effects(t *testing.T) map[string]int { return countEffects(t, b.db) }

// countEffects returns how many rows the table of effects has, by the id of the event.
func countEffects(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id, count(*) FROM effects GROUP BY id")
	require.NoError(t, err)
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		require.NoError(t, rows.Scan(&id, &n))
		counts[id] = n
	}
	require.NoError(t, rows.Err())
	return counts
}
