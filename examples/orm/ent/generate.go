// Package ent is the code that ent generates from package schema.
package ent

//go:generate go run entgo.io/ent/cmd/ent@v0.14.5 generate ./schema
