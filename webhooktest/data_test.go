package webhooktest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNewData checks that the event has the data that was given.
func TestNewData(t *testing.T) {
	for want, data := range map[geminihook.EventType]geminihook.Data{
		"batch.succeeded":             &geminihook.BatchSucceeded{ID: "a", OutputFileURI: "gs://b/<c>"},
		"batch.failed":                &geminihook.BatchFailed{ID: "a", ErrorCode: "13", ErrorMessage: "m"},
		"batch.expired":               &geminihook.BatchExpired{ID: "a"},
		"batch.cancelled":             &geminihook.BatchCancelled{ID: "a"},
		"interaction.requires_action": &geminihook.InteractionRequiresAction{ID: "a"},
		"interaction.completed":       &geminihook.InteractionCompleted{ID: "a"},
		"interaction.failed":          &geminihook.InteractionFailed{ID: "a", ErrorCode: "E", ErrorMessage: "m"},
		"interaction.cancelled":       &geminihook.InteractionCancelled{ID: "a"},
		"interaction.incomplete":      &geminihook.InteractionIncomplete{ID: "a"},
		"interaction.budget_exceeded": &geminihook.InteractionBudgetExceeded{ID: "a"},
		"video.failed":                &geminihook.VideoFailed{ID: "a", ErrorCode: "E", ErrorMessage: "m"},
		"video.generated":             &geminihook.VideoGenerated{ID: "a", OutputFileURI: "gs://b/c", FileName: "f"},
	} {
		d := webhooktest.NewData(data, signer)
		ev, err := geminihook.ParseUnverified(d.Body)
		require.NoError(t, err)
		assert.Equal(t, want, ev.Type)
		assert.Equal(t, data, ev.Data)
		_, err = endpoint(t).Verifier.Verify(t.Context(), d.Header, d.Body)
		require.NoError(t, err, want)
	}
	const want = "webhooktest: NewData: *geminihook.Unknown has no event type: use NewBody"
	assert.PanicsWithValue(t, want, func() { webhooktest.NewData(&geminihook.Unknown{}) })
	assert.Panics(t, func() { webhooktest.NewData(nil) })
}

// TestFresh checks that no two deliveries share an id, and that they happened now.
func TestFresh(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		for _, d := range []*webhooktest.Delivery{
			webhooktest.New("batch.paused"), webhooktest.NewData(&geminihook.BatchExpired{}),
		} {
			ev, err := geminihook.ParseUnverified(d.Body)
			require.NoError(t, err)
			id := ev.JobID()
			if unknown, ok := ev.Data.(*geminihook.Unknown); ok {
				id = string(unknown.Data)
			}
			assert.Contains(t, id, "batch_")
			assert.False(t, seen[id] || seen[d.ID()])
			seen[id], seen[d.ID()] = true, true
			assert.WithinDuration(t, time.Now(), ev.Time, time.Hour)
		}
	}
}

func TestWithMetadata(t *testing.T) {
	for name, tt := range map[string]struct {
		body, want string
	}{
		"without":      {`{"type":"x", "data":{"b":1, "a":2}}`, `{"type":"x","data":{"b":1, "a":2},"user_metadata":{"order":1042}}`},
		"in its place": {`{"user_metadata":{"old":1},"type":"x"}`, `{"type":"x","user_metadata":{"order":1042}}`},
		"empty":        {`{}`, `{"user_metadata":{"order":1042}}`},
	} {
		d := webhooktest.NewBody([]byte(tt.body), signer)
		c := d.WithMetadata(map[string]any{"order": 1042})
		assert.Equal(t, tt.want, string(c.Body), name)
		assert.Equal(t, tt.body, string(d.Body), "the original is unchanged")
		assert.Equal(t, d.ID(), c.ID())
		_, err := endpoint(t).Verifier.Verify(t.Context(), c.Header, c.Body)
		require.NoError(t, err, name)
	}
	escaped := webhooktest.New("x").WithMetadata(map[string]any{"a": "<b>"})
	ev, err := geminihook.ParseUnverified(escaped.Body)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"a": "<b>"}, ev.UserMetadata)

	read := webhooktest.New("x", signer)
	read = &webhooktest.Delivery{Header: read.Header, Body: read.Body}
	unsupported := map[string]any{"f": func() {}}
	for name, call := range map[string]func(){
		"call Sign first":   func() { read.WithMetadata(nil) },
		"unsupported type":  func() { webhooktest.New("x").WithMetadata(unsupported) },
		"not a JSON object": func() { webhooktest.NewBody([]byte("hello")).WithMetadata(nil) },
		"it is null":        func() { webhooktest.NewBody([]byte("null")).WithMetadata(nil) },
	} {
		func() {
			defer func() { assert.Contains(t, recover(), name) }()
			call()
		}()
	}
}

// FuzzWithMetadata checks that every other member of the body stays as it is.
func FuzzWithMetadata(f *testing.F) {
	f.Add([]byte(`{"type":"x","data":{"id":"1"},"user_metadata":null}`))
	f.Add([]byte(`{"a":1,"a":[{}],"\u00e9<":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var before, after map[string]any
		if json.Unmarshal(body, &before) != nil || before == nil {
			return
		}
		if strings.Contains(string(body), "\ufffd") {
			return
		}
		changed := webhooktest.NewBody(body).WithMetadata(map[string]any{"k": "v"})
		require.NoError(t, json.Unmarshal(changed.Body, &after))
		before["user_metadata"] = map[string]any{"k": "v"}
		require.Equal(t, before, after)
	})
}

func TestPost(t *testing.T) {
	assert.Equal(t, 404, webhooktest.Post(http.NotFoundHandler(), webhooktest.New("x")))
}
