package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlstore"
)

func Example() {
	verifier, err := geminihook.NewHMAC("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := serve(context.Background(), verifier); err != nil {
		fmt.Println(err)
	}
}

func serve(ctx context.Context, verifier geminihook.Verifier) error {
	const settings = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
	db, err := sql.Open("sqlite", "file:app.db"+settings)
	if err != nil {
		return err
	}
	store := sqlstore.New(db, sqlstore.SQLite)
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Transactor: store}
	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		tx, err := sqlstore.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO results (id) VALUES (?)", ev.ID)
		return err // nil commits the row together with the mark
	})
	return http.ListenAndServe("127.0.0.1:8080", handler)
}
