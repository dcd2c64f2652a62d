package pgstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wrapper embeds a Store as one that counts or logs its calls would, and so
// hides that it is a Transactor.
type wrapper struct{ geminihook.Store }

func TestRequireTx(t *testing.T) {
	store, _ := open(t)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		store geminihook.Store
		want  string
	}{
		"transactional":           {store.Transactional(), ""},
		"Transactional forgotten": {store, "must be what Transactional returns"},
		"inside another Store":    {wrapper{store.Transactional()}, "must have its Transact method"},
	} {
		t.Run(name, func(t *testing.T) {
			var got error
			endpoint := &geminihook.Endpoint{Verifier: verifier, Store: tt.store}
			handler := endpoint.Handler(func(ctx context.Context, _ *geminihook.Event) error {
				tx, err := pgstore.RequireTx(ctx)
				if got = err; err == nil {
					_, err = tx.Exec(ctx, "SELECT 1")
				}
				return err
			})
			d := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(webhooktest.TestSecret))
			status := deliver(handler, d)
			if tt.want == "" {
				require.NoError(t, got)
				assert.Equal(t, 200, status)
				return
			}
			require.ErrorContains(t, got, tt.want)
			assert.Equal(t, 500, status)
		})
	}
	_, err = pgstore.RequireTx(t.Context())
	require.Error(t, err)
	_, ok := pgstore.Tx(t.Context())
	assert.False(t, ok)
}

// TestTxEnds: a transaction that outlives its function does nothing to the
// connection's next user.
func TestTxEnds(t *testing.T) {
	store, pool := open(t)
	run(t, pool, "CREATE TABLE effects (id text)")
	for name, end := range map[string]string{"the store commits": "SELECT 1", "the function commits": "COMMIT"} {
		_, _ = transactor(store).Transact(t.Context(), name, time.Hour, func(ctx context.Context) error {
			tx, err := pgstore.RequireTx(ctx)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, end)
			t.Cleanup(func() {
				_, err := tx.Exec(context.WithoutCancel(ctx), "INSERT INTO effects VALUES ('late')")
				assert.Error(t, err, name)
			})
			return err
		})
	}
}
