package geminihook_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEventShowsNoBody: neither fmt nor slog shows the body of an event, whether it is
// by itself or inside an Outcome.
func TestEventShowsNoBody(t *testing.T) {
	body := `{"type":"new","data":{"x":"confidential"},"user_metadata":{"y":"confidential"}}`
	d := webhooktest.NewBody([]byte(body), signer)
	ev, err := geminihook.ParseUnverified(d.Body)
	require.NoError(t, err)
	ev.ID = d.ID()
	var log strings.Builder
	attrs := []any{"event", ev, "value", *ev, "data", ev.Data}
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", attrs...)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", attrs...)
	for _, s := range []string{
		log.String(), fmt.Sprintf("%v", ev), fmt.Sprintf("%+v", *ev), fmt.Sprintf("%#v", ev),
		fmt.Sprintf("%s %q", ev, ev), fmt.Sprintf("%x", ev),
		fmt.Sprintf("%+v", geminihook.Outcome{Event: ev}), fmt.Sprintf("%+v %#v", ev.Data, ev.Data),
	} {
		assert.NotContains(t, s, "confidential")
		assert.NotContains(t, s, fmt.Sprintf("%x", "confidential"))
		assert.NotContains(t, s, "99 111 110 102", "nor as a list of bytes")
	}
	assert.Contains(t, fmt.Sprint(ev), d.ID())
	assert.Contains(t, log.String(), `"event":{"id":"`+d.ID()+`","type":"new","attempt":0}`)
}

func TestJobID(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"batch", `{"type":"batch.succeeded","data":{"id":"batches/abc"}}`, "batches/abc"},
		{"interaction", `{"type":"interaction.requires_action","data":{"id":"v1_x.."}}`, "v1_x.."},
		{"unknown type", `{"type":"batch.paused","data":{"id":"batches/abc"}}`, "batches/abc"},
		{"data that is not read", `{"type":"batch.failed","data":{"id":"abc","error_message":7}}`, "abc"},
		{"number", `{"type":"batch.failed","data":{"id":7}}`, "7"},
		{"null", `{"type":"batch.failed","data":{"id":null}}`, ""},
		{"no id", `{"type":"batch.failed","data":{}}`, ""},
		{"no data", `{"type":"batch.failed"}`, ""},
		{"data is a list", `{"type":"batch.paused","data":["abc"]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := geminihook.ParseUnverified([]byte(tt.body))
			require.NoError(t, err)
			assert.Equal(t, tt.want, ev.JobID())
		})
	}
	t.Run("every type", func(t *testing.T) {
		for _, typ := range allTypes() {
			ev, err := geminihook.ParseUnverified(webhooktest.Body(typ))
			require.NoError(t, err)
			assert.Contains(t, ev.JobID(), "_123456", typ)
		}
	})
	for name, data := range map[string]geminihook.Data{
		"none":                nil,
		"an empty Unknown":    &geminihook.Unknown{},
		"made by the program": &geminihook.Unknown{Data: []byte(`{"id":"a`)},
	} {
		assert.Empty(t, (&geminihook.Event{Data: data}).JobID(), name)
	}
}

// TestEventInAnyVerb: no verb of fmt shows the body or user_metadata, not even
// one for which fmt does not ask String.
func TestEventInAnyVerb(t *testing.T) {
	body := `{"type":"new","data":{"x":"confidential"},"user_metadata":{"y":"confidential"}}`
	ev, err := geminihook.ParseUnverified([]byte(body))
	require.NoError(t, err)
	values := []any{
		ev, *ev, []geminihook.Event{*ev}, ev.Data, geminihook.Outcome{Event: ev},
	}
	for verb := range strings.FieldsSeq("%d %b %o %c %U %e %g %t %v %+v %#v %s %q %x %X") {
		for _, v := range values {
			s := fmt.Sprintf(verb, v)
			for _, form := range []string{"%s", "%d", "%b", "%o", "%U", "%x", "%X"} {
				confidential := strings.Trim(fmt.Sprintf(form, []byte("confidential")), "[]")
				assert.NotContains(t, s, confidential, "%s of %T", verb, v)
			}
		}
	}
}

// TestEventJSON: an event cannot be encoded as JSON, neither by itself nor inside
// another value, because its body would be missing, or would end up in a log.
func TestEventJSON(t *testing.T) {
	ev := newEvent(t)
	type task struct{ Event geminihook.Event }
	for name, v := range map[string]any{
		"pointer":      ev,
		"value":        *ev,
		"in a struct":  task{Event: *ev},
		"in a pointer": &task{Event: *ev},
		"in a list":    []geminihook.Event{*ev},
		"in a map":     map[string]*geminihook.Event{"e": ev},
	} {
		b, err := json.Marshal(v)
		require.ErrorContains(t, err, "use MarshalBinary", name)
		assert.Empty(t, b, name)
	}
	require.ErrorContains(t, json.Unmarshal([]byte(`{"Event":{"ID":"x"}}`), &task{}), "ParseUnverified")

	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "task", task{Event: *ev})
	assert.NotContains(t, log.String(), string(ev.Raw))
}

func TestEndsJob(t *testing.T) {
	for name, data := range everyData() {
		goesOn := slices.Contains([]string{"none", "interaction.requires_action"}, name)
		goesOn = goesOn || strings.HasPrefix(name, "un") // unknown and unreadable
		assert.Equal(t, !goesOn, (&geminihook.Event{Data: data}).EndsJob(), name)
	}
}
