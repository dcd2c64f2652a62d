package migrate_test

import (
	"context"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/migrate"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMarks: what each step does about an event that has a mark already.
func TestMarks(t *testing.T) {
	const hour = time.Hour
	for _, tt := range []struct {
		name         string
		step         step
		by           string        // who has set the mark
		left         time.Duration // how long the mark is still kept
		status, runs int
	}{
		{"handled before", migrate.Both, "1", 47 * hour, 200, 0},
		{"perhaps still running", migrate.Both, "1", 48 * hour, 500, 0},
		{"this step was killed", migrate.Both, "store", 47 * hour, 200, 1},
		{"a jump to the last step runs it again", migrate.After, "1", 47 * hour, 200, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, runs := newClient(t), 0
			work := func(context.Context, string, string) error {
				runs++
				return nil
			}
			handler, err := tt.step(webhooktest.TestSecret, client, work)
			require.NoError(t, err)
			signer := webhooktest.Static(webhooktest.TestSecret)
			d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
			require.NoError(t, client.Set(t.Context(), "webhook:"+d.ID(), tt.by, tt.left).Err())
			assert.Equal(t, tt.status, webhooktest.Post(handler, d))
			assert.Equal(t, tt.runs, runs)
		})
	}
}
