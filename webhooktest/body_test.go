package webhooktest_test

import (
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBodyUnlisted checks that the id of an event whose type Google's page does
// not list is of the type's kind.
func TestBodyUnlisted(t *testing.T) {
	for _, tt := range []struct {
		typ geminihook.EventType
		id  string
	}{
		{"batch.paused", "batch_123456"},
		{"interaction.paused", "interaction_123456"},
		{"video.paused", "video_123456"},
		{"file.ready.now", "file_123456"},
		{"ping", "ping_123456"},
		{"", "event_123456"},
	} {
		t.Run(string(tt.typ), func(t *testing.T) {
			ev, err := geminihook.ParseUnverified(webhooktest.Body(tt.typ))
			require.NoError(t, err)
			assert.Equal(t, tt.typ, ev.Type)
			unknown, ok := ev.Data.(*geminihook.Unknown)
			require.True(t, ok)
			assert.JSONEq(t, `{"id":"`+tt.id+`"}`, string(unknown.Data))
		})
	}
}

func TestBodyWithPanics(t *testing.T) {
	assert.Panics(t, func() { webhooktest.BodyWith("x", map[string]any{"f": func() {}}) })
}
