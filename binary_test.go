package geminihook_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everyData has a value of each type of Data, with text that is not valid UTF-8.
func everyData() map[string]geminihook.Data {
	const odd = "\xff\x00\r\n\"é"
	return map[string]geminihook.Data{
		"none":                        nil,
		"batch.succeeded":             &geminihook.BatchSucceeded{ID: "b", OutputFileURI: "gs://b" + odd},
		"batch.failed":                &geminihook.BatchFailed{ID: odd, ErrorCode: "13", ErrorMessage: odd},
		"batch.expired":               &geminihook.BatchExpired{ID: "b"},
		"batch.cancelled":             &geminihook.BatchCancelled{ID: "b"},
		"interaction.requires_action": &geminihook.InteractionRequiresAction{ID: "i"},
		"interaction.completed":       &geminihook.InteractionCompleted{ID: "i"},
		"interaction.failed":          &geminihook.InteractionFailed{ID: "i", ErrorCode: "E", ErrorMessage: odd},
		"interaction.cancelled":       &geminihook.InteractionCancelled{ID: "i"},
		"interaction.incomplete":      &geminihook.InteractionIncomplete{ID: "i"},
		"interaction.budget_exceeded": &geminihook.InteractionBudgetExceeded{ID: "i"},
		"video.generated":             &geminihook.VideoGenerated{ID: "v", OutputFileURI: "gs://v", FileName: odd},
		"video.failed":                &geminihook.VideoFailed{ID: "v", ErrorCode: "-1", ErrorMessage: "m"},
		"unknown, empty":              &geminihook.Unknown{},
		"unknown":                     &geminihook.Unknown{Data: []byte(`{"id":"x"}` + odd)},
		"unreadable":                  &geminihook.Unknown{Data: []byte(`[]`), Err: errors.New("no" + odd)},
		"unreadable, without words":   &geminihook.Unknown{Err: errors.New("")},
	}
}

// fullEvent returns an event with every field set.
func fullEvent() *geminihook.Event {
	return &geminihook.Event{
		ID:      "msg_1",
		Type:    "batch.succeeded",
		Version: "v1",
		Time:    time.Date(2026, 1, 22, 12, 0, 0, 123456789, time.FixedZone("", 7200)),
		SentAt:  time.Date(2026, 1, 22, 10, 0, 5, 0, time.UTC),
		Data:    &geminihook.BatchSucceeded{ID: "batches/1", OutputFileURI: "gs://b/r.jsonl"},
		UserMetadata: map[string]any{
			"order": "1042", "n": 1.5, "list": []any{true, nil, map[string]any{}},
		},
		Raw:     []byte("{\"type\":\"batch.succeeded\"}\n"),
		Proof:   geminihook.Proof{Scheme: geminihook.SchemeHMAC, KeyName: "whsec_...3frh"},
		Attempt: 3,
	}
}

// requireRestored checks that the event survives its binary form, and that no field
// of the result points into it.
func requireRestored(t *testing.T, ev *geminihook.Event) {
	t.Helper()
	b, err := ev.MarshalBinary()
	require.NoError(t, err)
	var got geminihook.Event
	require.NoError(t, got.UnmarshalBinary(b))
	for i := range b {
		b[i] = 'x' // as a queue that uses its memory again
	}
	require.True(t, ev.Time.Equal(got.Time), "%v, %v", ev.Time, got.Time)
	require.True(t, ev.SentAt.Equal(got.SentAt), "%v, %v", ev.SentAt, got.SentAt)
	want := *ev
	want.Time, want.SentAt = time.Time{}, time.Time{}
	got.Time, got.SentAt = time.Time{}, time.Time{}
	require.Equal(t, want.Data, got.Data)
	require.Equal(t, want, got)
}

func TestMarshalBinary(t *testing.T) {
	for name, data := range everyData() {
		t.Run(name, func(t *testing.T) {
			ev := fullEvent()
			ev.Data = data
			requireRestored(t, ev)
			ev.Raw = nil // made by a program
			requireRestored(t, ev)
			requireRestored(t, &geminihook.Event{Data: data})
		})
	}
	for _, typ := range webhooktest.Types() {
		t.Run("body of "+string(typ), func(t *testing.T) {
			ev, err := geminihook.ParseUnverified(webhooktest.BodyWith(typ, map[string]any{"a": 1}))
			require.NoError(t, err)
			requireRestored(t, ev)
		})
	}
	t.Run("extremes", func(t *testing.T) {
		ev := fullEvent()
		ev.Attempt = math.MinInt
		ev.Time, ev.SentAt = time.Unix(math.MaxInt64/2, 999_999_999), time.Unix(math.MinInt64/2, 0)
		ev.UserMetadata = map[string]any{}
		ev.Raw = bytes.Repeat([]byte{0xff}, 1<<20)
		requireRestored(t, ev)
	})
	t.Run("metadata that is not JSON", func(t *testing.T) {
		_, err := (&geminihook.Event{UserMetadata: map[string]any{"f": math.NaN()}}).MarshalBinary()
		assert.ErrorContains(t, err, "UserMetadata cannot be encoded")
	})
}

// TestUnmarshalBinaryVersion: what programs have written since version 1 is read
// forever. The file has an event for each value of everyData, in hexadecimal.
func TestUnmarshalBinaryVersion(t *testing.T) {
	golden, err := os.ReadFile("testdata/events/v1.txt")
	require.NoError(t, err)
	read := map[string]bool{}
	for line := range strings.Lines(string(golden)) {
		text, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		encoded, err := hex.DecodeString(text)
		require.NoError(t, err)
		want := fullEvent()
		want.Data = everyData()[name]
		var got geminihook.Event
		require.NoError(t, got.UnmarshalBinary(encoded), name)
		assert.True(t, want.Time.Equal(got.Time), name)
		want.Time = got.Time
		assert.Equal(t, want, &got, name)
		read[name] = true

		again, err := want.MarshalBinary()
		require.NoError(t, err)
		assert.Equal(t, encoded, again, "%s: another form needs another version", name)
	}
	for name := range everyData() {
		assert.True(t, read[name], name)
	}
}

func TestUnmarshalBinaryErrors(t *testing.T) {
	good, err := fullEvent().MarshalBinary()
	require.NoError(t, err)
	changed := func(old, fresh string) []byte {
		require.Contains(t, string(good), old)
		return bytes.Replace(good, []byte(old), []byte(fresh), 1)
	}
	for _, tt := range []struct {
		name    string
		encoded []byte
		want    string
	}{
		{"empty", nil, "is empty"},
		{"a newer version", append([]byte{2}, good[1:]...), "of version 2, and this program reads version 1"},
		{"version 0", append([]byte{0}, good[1:]...), "of version 0, and this program reads version 1"},
		{"JSON", []byte(`{"id":"msg_1"}`), "of version 123"},
		{"longer", append(slices.Clone(good), 0), "longer than an event"},
		{"a length beyond the end", []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, "too short"},
		{"a length of 70 bits", append([]byte{1}, bytes.Repeat([]byte{0xff}, 11)...), "too short"},
		{"not a number", changed("\x013", "\x01x"), "a text in place of a number"},
		{"metadata is a list", changed(`{"list":[true,null,{}]`, `["list",[true,null,{}]`), "not a JSON object"},
		{"another kind of data", changed("\x0fbatch.succeeded\x09", "\x0fbatch.exploded!\x09"), "a kind that"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev := geminihook.Event{ID: "before"}
			require.ErrorContains(t, ev.UnmarshalBinary(tt.encoded), tt.want)
			assert.Equal(t, geminihook.Event{ID: "before"}, ev)
		})
	}
	for n := range good {
		require.Error(t, new(geminihook.Event).UnmarshalBinary(good[:n]), "the first %d bytes", n)
	}
}

// FuzzMarshalBinary: every event survives its binary form.
func FuzzMarshalBinary(f *testing.F) {
	kinds := slices.Sorted(maps.Keys(everyData()))
	f.Add(0, "msg_1", "x", "text", []byte(`{"user_metadata":{"a":[1]}}`), int64(1769083200), 1)
	f.Add(1, "\xff\x00", "", "\xff", []byte{0xff}, int64(math.MinInt64), math.MinInt)
	f.Fuzz(func(t *testing.T, kind int, id, typ, text string, raw []byte, sec int64, attempt int) {
		ev := &geminihook.Event{UserMetadata: map[string]any{}}
		if parsed, err := geminihook.ParseUnverified(raw); err == nil {
			ev = parsed
		}
		ev.ID, ev.Type, ev.Version = id, geminihook.EventType(typ), text
		ev.Time, ev.SentAt = time.Unix(sec, int64(len(id))), time.Unix(sec/2, 0)
		ev.Proof = geminihook.Proof{Scheme: text, KeyName: id}
		ev.Attempt = attempt
		ev.Raw = append([]byte(nil), raw...)
		data := everyData()[kinds[uint(kind)%uint(len(kinds))]]
		if failed, ok := data.(*geminihook.BatchFailed); ok {
			failed.ErrorMessage = text
		}
		ev.Data = data
		requireRestored(t, ev)
	})
}

// FuzzUnmarshalBinary: hostile bytes give an error or an event that has a binary
// form, and no panic.
func FuzzUnmarshalBinary(f *testing.F) {
	for _, data := range everyData() {
		ev := fullEvent()
		ev.Data = data
		b, err := ev.MarshalBinary()
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		var ev geminihook.Event
		err := ev.UnmarshalBinary(b)
		require.Equal(t, before, b)
		if err == nil {
			requireRestored(t, &ev)
		} else {
			require.Less(t, len(err.Error()), 200, "the bytes are not in the error")
		}
	})
}
