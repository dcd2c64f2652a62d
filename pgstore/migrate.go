package pgstore

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed schema.sql
var schema string

const (
	schemaVersion = 1
	// versionComment is the comment on the table, as schema.sql sets it.
	versionComment = "geminihook pgstore, schema version %d"
)

// Migrate creates the table if it does not exist, and otherwise checks that its
// schema version is the one that this package uses. It may run at every start,
// and in several instances at the same time. If the table is current, Migrate
// writes nothing, so a role that may not create tables can call it.
//
// The schema that contains the table must exist. If you use your own migration
// tool, apply schema.sql.
func (s *Store) Migrate(ctx context.Context) error {
	if exists, err := s.version(ctx); exists || err != nil {
		return failure(ctx, err)
	}
	// Statements that are sent together are one transaction. If another
	// instance creates the table meanwhile, these wait for it and fail.
	_, err := s.pool.Exec(ctx, strings.ReplaceAll(schema, defaultTable, s.name()))
	if refused(err) {
		if exists, versionErr := s.version(ctx); exists {
			err = versionErr
		}
	}
	return failure(ctx, err)
}

// version reports whether the table exists. A version other than ours is an
// error.
func (s *Store) version(ctx context.Context) (exists bool, err error) {
	table := s.name()
	var comment string
	err = s.pool.QueryRow(ctx, `SELECT to_regclass($1::text) IS NOT NULL, coalesce(obj_description(to_regclass($1::text)::oid, 'pg_class'), '')`,
		table).Scan(&exists, &comment)
	if err != nil || !exists {
		return false, err
	}
	var version int
	if _, err := fmt.Sscanf(comment, versionComment, &version); err != nil {
		want := fmt.Sprintf(versionComment, schemaVersion)
		return true, fmt.Errorf("the table %s exists, but its comment is %q and not %q: if it is from before v0.1.0, drop it; "+
			"if its comment was lost, restore the comment", table, comment, want)
	}
	if version != schemaVersion {
		return true, fmt.Errorf("the table %s has schema version %d, and this version of pgstore needs %d: upgrade the program",
			table, version, schemaVersion)
	}
	return true, nil
}
