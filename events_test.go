package geminihook_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEventShowsNoBody in fmt and in slog, by itself and inside an Outcome.
func TestEventShowsNoBody(t *testing.T) {
	d := webhooktest.NewBody([]byte(`{"type":"new","data":{"x":"confidential"},"user_metadata":{"y":"confidential"}}`), signer)
	ev, err := geminihook.ParseUnverified(d.Body)
	require.NoError(t, err)
	ev.ID = d.ID()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "event", ev, "value", *ev)
	for _, s := range []string{
		log.String(), fmt.Sprintf("%v", ev), fmt.Sprintf("%+v", *ev), fmt.Sprintf("%#v", ev), fmt.Sprintf("%s %q", ev, ev), fmt.Sprintf("%x", ev),
		fmt.Sprintf("%+v", geminihook.Outcome{Event: ev}), fmt.Sprintf("%+v %#v", ev.Data, ev.Data),
	} {
		assert.NotContains(t, s, "confidential")
		assert.NotContains(t, s, fmt.Sprintf("%x", "confidential"))
		assert.NotContains(t, s, "99 111 110 102", "nor as a list of bytes")
	}
	assert.Contains(t, fmt.Sprint(ev), d.ID())
}
