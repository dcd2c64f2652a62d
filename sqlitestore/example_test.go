package sqlitestore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/sqlitestore"
)

func Example() {
	verifier, err := geminihook.NewHMAC("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	db, err := sql.Open("sqlite", "file:app.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	store := sqlitestore.New(db)
	if err := store.Migrate(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: store.Transactional()}
	http.Handle("/webhooks/gemini", endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		tx, _ := sqlitestore.Tx(ctx)
		_, err := tx.ExecContext(ctx, "INSERT INTO results (id, type) VALUES (?, ?)", ev.ID, string(ev.Type))
		return err // nil commits the row and the mark together
	}))
}
