// Package sqlc has the schema and the queries that sqlc generates its code from.
package sqlc

import _ "embed"

// Schema creates the table.
//
//go:embed schema.sql
var Schema string

// Without cgo, sqlc has its parser of PostgreSQL as WebAssembly, and needs no C compiler.
//
//go:generate env CGO_ENABLED=0 go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate
