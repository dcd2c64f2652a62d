package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
)

// testEnt tests an update, for which ent begins a transaction.
func testEnt(t *testing.T, d *database) {
	openLibrary(t, d, openEnt)
	for _, tt := range []struct {
		name   string
		next   error
		status int
		rows   int
	}{
		{name: "committed", status: http.StatusOK, rows: 1},
		{name: "rolled back", next: assert.AnError, status: http.StatusInternalServerError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			receiver := newReceiver(t, d, func(ctx context.Context, ev *geminihook.Event) error {
				client, err := entClient(ctx, d.engine)
				if err != nil {
					return err
				}
				create := client.Result.Create().SetWebhookID(ev.ID).SetJob(ev.JobID())
				row, err := create.Save(ctx)
				if err != nil {
					return err
				}
				if err := row.Update().SetJob("updated").Exec(ctx); err != nil {
					return err
				}
				return tt.next
			})
			delivery := newDelivery()
			assert.Equal(t, tt.status, deliver(receiver, delivery))
			assert.Equal(t, tt.rows, rowsByID(t, d, "ent")[delivery.ID()])
		})
	}
}
