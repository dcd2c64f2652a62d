package pgstore_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5/pgxpool"
)

func Example() {
	verifier, err := geminihook.NewHMAC("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	if err := serve(ctx, verifier, pool); err != nil {
		fmt.Println(err)
	}
}

func serve(ctx context.Context, verifier geminihook.Verifier, pool *pgxpool.Pool) error {
	store := pgstore.New(pool)
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Transactor: store}
	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := pgstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO results (id) VALUES ($1)", ev.ID)
		return err // nil commits the row and the mark together
	})
	return http.ListenAndServe("127.0.0.1:8080", handler)
}

func ExampleStore_Purge() {
	var store *pgstore.Store // made with New
	purge := func(ctx context.Context) error {
		for {
			if _, err := store.Purge(ctx, 0); err != nil {
				return err
			}
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
				return nil
			}
		}
	}
	_ = purge
}
