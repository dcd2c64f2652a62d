package user_test

import (
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestStore(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), testserver.NewPostgres(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := pgstore.New(pool)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	deliver(t, &geminihook.Endpoint{Store: store})
	deliver(t, &geminihook.Endpoint{Transactor: store})
}
