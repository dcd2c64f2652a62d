package main

import (
	"context"
	"database/sql"
)

// database is a [Source] that asks a SQL database with the table
//
//	CREATE TABLE webhook_secrets (
//		tenant     text      NOT NULL,
//		secret     text      NOT NULL,
//		created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
//		PRIMARY KEY (tenant, secret)
//	)
//
// While the secret of a tenant is being rotated, the tenant has two rows. The query
// is in the dialect of PostgreSQL and SQLite.
type database struct{ db *sql.DB }

// Secrets implements [Source].
func (d database) Secrets(ctx context.Context, tenant string) ([]string, error) {
	rows, err := d.db.QueryContext(ctx,
		"SELECT secret FROM webhook_secrets WHERE tenant = $1 ORDER BY created_at DESC", tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var secrets []string
	for rows.Next() {
		var secret string
		if err := rows.Scan(&secret); err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	if err := rows.Err(); err != nil {
		return nil, err // the rows may be incomplete
	}
	if len(secrets) == 0 {
		return nil, ErrUnknownTenant
	}
	return secrets, nil
}
