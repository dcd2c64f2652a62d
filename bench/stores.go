package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
)

// An engine is a database engine with the stores that are measured on it.
type engine struct {
	name  string
	start func() (*server, error)
	kinds []storeKind // the first of them is not a Transactor
}

// A storeKind is a row in the tables of the stores.
type storeKind struct {
	name string
	open openFunc
}

// openFunc opens a store in the database with the given name, which it creates
// unless it exists, with a connection for each of the workers.
type openFunc func(s *server, database string, workers int, dial dialFunc) (*subject, error)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

var engines = []engine{
	{"memory", startNothing, []storeKind{{"`MemoryStore`", openMemory}}},
	{"redis", startRedis, []storeKind{{"`redisstore`", openRedis}}},
	{"postgres", startPostgres, []storeKind{
		{"`pgstore`", openPostgres},
		{"`pgstore` as `Transactor`", transactional(openPostgres)},
		{"`sqlstore`, PostgreSQL", openSQLPostgres},
		{"`sqlstore`, PostgreSQL, as `Transactor`", transactional(openSQLPostgres)},
	}},
	{"sqlite", startFolder, []storeKind{
		{"`sqlstore`, SQLite", openSQLite},
		{"`sqlstore`, SQLite, as `Transactor`", transactional(openSQLite)},
	}},
	{"mariadb", startMySQL, []storeKind{
		{"`sqlstore`, MariaDB", openMySQL},
		{"`sqlstore`, MariaDB, as `Transactor`", transactional(openMySQL)},
	}},
}

// A server is an engine that is running.
type server struct {
	*testserver.Server        // nil if the engine runs in this process
	folder             string // of SQLite's files
	databases          []string
	close              func()
}

// A subject is an open store that is measured, and its engine alone beside it.
type subject struct {
	store      geminihook.Store
	transactor geminihook.Transactor // if not nil, it is measured in place of the store
	// effect is what the function does in a transaction: it adds a row.
	effect func(ctx context.Context, key string) error

	// bareLease and bareTransaction do what an event needs at least, with the driver
	// alone: a claim and its completion, and a transaction with a lock, a savepoint,
	// the function's row and a mark.
	bareLease, bareTransaction func(ctx context.Context, key string) error

	fill   func(ctx context.Context, ids int) error   // adds ids that are done
	stored func(ctx context.Context) (float64, error) // how many bytes the keys take
	logged func(ctx context.Context) (float64, error) // how many bytes the log has grown to
	close  func()
}

// transactional opens the same store as a Transactor.
func transactional(open openFunc) openFunc {
	return func(s *server, database string, workers int, dial dialFunc) (*subject, error) {
		subject, err := open(s, database, workers, dial)
		if err != nil {
			return nil, err
		}
		subject.transactor = subject.store.(geminihook.Transactor)
		return subject, nil
	}
}

const (
	lease = time.Minute
	keep  = 7 * 24 * time.Hour
)

// handle takes a key all the way, and returns its state before.
func (s *subject) handle(ctx context.Context, key string) (geminihook.State, error) {
	if s.transactor != nil {
		return s.transactor.Transact(ctx, key, keep, func(ctx context.Context) error {
			return s.effect(ctx, key)
		})
	}
	token := rand.Text()
	c, err := s.store.Claim(ctx, key, token, lease, keep)
	if err != nil || c.State != geminihook.Acquired {
		return c.State, err
	}
	return c.State, s.store.Complete(ctx, key, token, keep)
}

// acquire handles a new key.
func (s *subject) acquire(ctx context.Context, key string) error {
	state, err := s.handle(ctx, key)
	return expect(state, geminihook.Acquired, err)
}

// again handles a key that is done.
func (s *subject) again(ctx context.Context, key string) error {
	state, err := s.handle(ctx, key)
	return expect(state, geminihook.Done, err)
}

func expect(got, want geminihook.State, err error) error {
	if err == nil && got != want {
		return fmt.Errorf("a claim was %v, but should be %v", got, want)
	}
	return err
}

// bare does what the subject does, with the driver alone.
func (s *subject) bare(ctx context.Context, key string) error {
	if s.transactor != nil {
		return s.bareTransaction(ctx, key)
	}
	return s.bareLease(ctx, key)
}

// newKey returns a random key of 40 bytes, about as long as the ids of Standard
// Webhooks' senders with the scheme before them.
func newKey() string {
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}
