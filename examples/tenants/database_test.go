package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDatabase(t *testing.T) {
	down := errors.New("the database is down")
	for _, tt := range []struct {
		name   string
		table  table
		tenant string
		want   []string
		err    error
	}{
		{"one secret", table{rows: map[string][]string{"acme": {"new"}}}, "acme", []string{"new"}, nil},
		{"two during a rotation", table{rows: map[string][]string{"acme": {"new", "old"}}}, "acme", []string{"new", "old"}, nil},
		{"unknown tenant", table{rows: map[string][]string{"acme": {"new"}}}, "globex", nil, ErrUnknownTenant},
		{"the query fails", table{query: down}, "acme", nil, down},
		{"the connection breaks before the first row", table{end: down}, "acme", nil, down},
		{"the connection breaks after a row", table{rows: map[string][]string{"acme": {"new"}}, end: down}, "acme", nil, down},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := sql.OpenDB(connector{&tt.table})
			defer db.Close()
			secrets, err := database{db}.Secrets(t.Context(), tt.tenant)
			require.ErrorIs(t, err, tt.err)
			assert.Equal(t, tt.want, secrets)
			if tt.err == down {
				require.NotErrorIs(t, err, ErrUnknownTenant)
			}
		})
	}
}

// table stands in for the table in a database.
type table struct {
	rows       map[string][]string // the secrets by tenant, the newest first
	query, end error               // of the query, and after the last row
}

type connector struct{ *table }

func (c connector) Connect(context.Context) (driver.Conn, error) { return conn(c), nil }
func (c connector) Driver() driver.Driver                        { return nil }

type conn struct{ *table }

func (conn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (conn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (conn) Close() error                        { return nil }

// QueryContext implements [driver.QueryerContext].
func (c conn) QueryContext(
	_ context.Context, query string, args []driver.NamedValue,
) (driver.Rows, error) {
	if !strings.Contains(query, "WHERE tenant = $1") || len(args) != 1 {
		return nil, errors.ErrUnsupported
	}
	tenant, _ := args[0].Value.(string)
	return &rows{secrets: c.rows[tenant], end: c.end}, c.query
}

type rows struct {
	secrets []string
	end     error
}

func (*rows) Columns() []string { return []string{"secret"} }
func (*rows) Close() error      { return nil }

func (r *rows) Next(row []driver.Value) error {
	if len(r.secrets) == 0 {
		if r.end != nil {
			return r.end
		}
		return io.EOF
	}
	row[0], r.secrets = r.secrets[0], r.secrets[1:]
	return nil
}
