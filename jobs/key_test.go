package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOtherKeys: a CatchUp with any key but ByJob's does not start, because a
// webhook and the API would report an end under different keys.
func TestOtherKeys(t *testing.T) {
	type keyOf func(context.Context, *geminihook.Event) (string, error)
	byJobUnless := func(other func(*geminihook.Event) bool) keyOf {
		return func(ctx context.Context, ev *geminihook.Event) (string, error) {
			key, err := geminihook.ByJob(ctx, ev)
			if other(ev) {
				key = "other:" + key
			}
			return key, err
		}
	}
	noDatabase := errors.New("no database")
	for _, tt := range []struct {
		name string
		key  keyOf
		text string
	}{
		{"the default", nil, "ByJob"},
		{"by event", func(_ context.Context, ev *geminihook.Event) (string, error) {
			return ev.ID, nil
		}, "ByJob"},
		{"by scheme and job", func(ctx context.Context, ev *geminihook.Event) (string, error) {
			key, err := geminihook.ByJob(ctx, ev)
			return ev.Proof.Scheme + key, err
		}, "ByJob"},
		{"all ends of a job", func(_ context.Context, ev *geminihook.Event) (string, error) {
			return ev.JobID(), nil
		}, "ByJob"},
		{"success and failure", func(ctx context.Context, ev *geminihook.Event) (string, error) {
			key, err := geminihook.ByJob(ctx, ev)
			return strings.Replace(key, "failed", "succeeded", 1), err
		}, "ByJob"},
		{"everything", func(context.Context, *geminihook.Event) (string, error) {
			return "batch.succeeded:geminihook-probe", nil
		}, "ByJob"},
		{"another for dynamic webhooks", byJobUnless(func(ev *geminihook.Event) bool {
			return ev.Proof.Scheme == geminihook.SchemeEd25519
		}), "ByJob"},
		{"another for videos", byJobUnless(func(ev *geminihook.Event) bool {
			return ev.Type == geminihook.EventVideoGenerated
		}), "ByJob"},
		{"another for events with metadata", byJobUnless(func(ev *geminihook.Event) bool {
			return len(ev.UserMetadata) > 0
		}), "ByJob"},
		{"none", func(context.Context, *geminihook.Event) (string, error) {
			return "", noDatabase
		}, "no database"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI()
			c, _ := newCatchUp(t, serve(t, api), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
			c.Endpoint.Key = tt.key
			_, err := c.Sweep(t.Context())
			require.ErrorContains(t, err, tt.text)
			require.ErrorContains(t, c.Run(t.Context()), tt.text)
			requests, _ := api.Requests()
			assert.Zero(t, requests)
		})
	}
}

// TestSameKeys: a function that returns what ByJob returns may take its place.
func TestSameKeys(t *testing.T) {
	c, _ := newCatchUp(t, serve(t, newAPI()), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
	var kinds []string // of the made-up jobs
	c.Endpoint.Key = func(ctx context.Context, ev *geminihook.Event) (string, error) {
		if strings.Contains(ev.JobID(), "geminihook-probe") {
			kind, _, _ := strings.Cut(string(ev.Type), ".")
			kinds = append(kinds, kind)
		}
		key, err := geminihook.ByJob(ctx, ev)
		if err != nil {
			return "", fmt.Errorf("by job: %w", err)
		}
		return key, nil
	}
	for handled := range 2 {
		summary, err := c.Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1-handled, summary.Handled)
	}
	assert.Equal(t, []string{"batch", "interaction", "video"}, kinds, "once per kind")
}
