package pgstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
)

// TestPoolInUse: all connections are held by functions that are slower than their
// leases, so that no lease can be renewed. Each run ends before another begins.
func TestPoolInUse(t *testing.T) {
	const events = 4
	_, pool := open(t, maxConns(events))
	other := connect(t, server.Postgres(t).URL, sameSchema(pool))
	endpoint := func(pool *pgxpool.Pool) *geminihook.Endpoint {
		return &geminihook.Endpoint{
			Store: pgstore.New(pool), Lease: time.Second, RunTimeout: limit,
		}
	}
	var all sync.WaitGroup
	defer all.Wait()
	var holding sync.WaitGroup
	holding.Add(events)
	for i := range events {
		id := fmt.Sprint("msg_", i)
		ended, begun := make(chan error, 1), make(chan struct{})
		all.Go(func() {
			held := false
			hold := func(ctx context.Context) error {
				conn, err := pool.Acquire(ctx)
				if err != nil {
					return err
				}
				defer conn.Release()
				held = true
				holding.Done()
				<-ctx.Done()
				ended <- context.Cause(ctx)
				<-begun
				return nil
			}
			// On a busy machine, the lease may end before the connection is held.
			for !held {
				o := process(t, endpoint(pool), id, hold)
				if held {
					assert.ErrorIs(t, o.Err, geminihook.ErrLeaseLost, "another run has taken the event")
				}
			}
		})
		all.Go(func() {
			holding.Wait()
			assert.Eventually(t, func() bool {
				o := process(t, endpoint(other), id, func(context.Context) error {
					close(begun)
					assert.ErrorIs(t, <-ended, geminihook.ErrLeaseLost)
					return nil
				})
				return o.Result == geminihook.Processed
			}, limit, tick)
		})
	}
}
