package geminihook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func BenchmarkParse(b *testing.B) {
	body := webhooktest.Body(geminihook.EventBatchSucceeded)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := geminihook.ParseUnverified(body); err != nil {
			b.Fatal(err)
		}
	}
}

// allTypes has the types that webhooks deliver and those that only the API reports.
func allTypes() []geminihook.EventType {
	return append(
		webhooktest.Types(),
		geminihook.EventInteractionIncomplete,
		geminihook.EventInteractionBudgetExceeded,
		geminihook.EventVideoFailed,
	)
}

func TestEventTypes(t *testing.T) {
	const message = "The request could not be processed."
	want := map[geminihook.EventType]geminihook.Data{
		"batch.succeeded":             &geminihook.BatchSucceeded{ID: "batch_123456", OutputFileURI: "gs://my-bucket/results.jsonl"},
		"batch.failed":                &geminihook.BatchFailed{ID: "batch_123456", ErrorCode: "INVALID_ARGUMENT", ErrorMessage: message},
		"batch.expired":               &geminihook.BatchExpired{ID: "batch_123456"},
		"batch.cancelled":             &geminihook.BatchCancelled{ID: "batch_123456"},
		"interaction.requires_action": &geminihook.InteractionRequiresAction{ID: "interaction_123456"},
		"interaction.completed":       &geminihook.InteractionCompleted{ID: "interaction_123456"},
		"interaction.failed":          &geminihook.InteractionFailed{ID: "interaction_123456", ErrorCode: "INTERNAL", ErrorMessage: message},
		"interaction.cancelled":       &geminihook.InteractionCancelled{ID: "interaction_123456"},
		"interaction.incomplete":      &geminihook.InteractionIncomplete{ID: "interaction_123456"},
		"interaction.budget_exceeded": &geminihook.InteractionBudgetExceeded{ID: "interaction_123456"},
		"video.generated":             &geminihook.VideoGenerated{ID: "video_123456", OutputFileURI: "gs://my-bucket/video.mp4", FileName: "video.mp4"},
		"video.failed":                &geminihook.VideoFailed{ID: "video_123456", ErrorCode: "INTERNAL", ErrorMessage: message},
	}
	require.Len(t, allTypes(), len(want))
	for _, typ := range allTypes() {
		t.Run(string(typ), func(t *testing.T) {
			ev, err := geminihook.ParseUnverified(webhooktest.Body(typ))
			require.NoError(t, err)
			assert.Equal(t, want[typ], ev.Data)
			assert.Equal(t, "v1", ev.Version)
			assert.Equal(t, time.Date(2026, 1, 22, 12, 0, 0, 0, time.UTC), ev.Time)
			assert.Nil(t, ev.UserMetadata)
		})
	}
}

// TestTimestamps: every form of RFC 3339 gives the time, and others give none.
func TestTimestamps(t *testing.T) {
	noon := time.Date(2026, 1, 22, 12, 0, 0, 0, time.UTC)
	newYear := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-01-22T12:00:00Z":                noon,
		"2026-01-22t12:00:00z":                noon,
		"2026-01-22t12:00:00Z":                noon,
		"2026-01-22 12:00:00Z":                noon,
		"2026-01-22 12:00:00z":                noon,
		"2026-01-22T12:00:00+00:00":           noon,
		"2026-01-22T12:00:00-00:00":           noon,
		"2026-01-22t06:30:00-05:30":           noon,
		"2026-01-22 14:00:00.123456789+02:00": noon.Add(123456789),
		"2026-01-22T12:00:00.5Z":              noon.Add(500 * time.Millisecond),
		"2026-01-22t12:00:00.1234567891234z":  noon.Add(123456789),
		"2016-12-31T23:59:60Z":                newYear,
		"2016-12-31t23:59:60.25z":             newYear.Add(250 * time.Millisecond),
		"2016-12-31 15:59:60-08:00":           newYear,

		"2016-12-31T23:59:61Z":  {},
		"2016-12-31T23:60:60Z":  {},
		"2026-02-30T12:00:00Z":  {},
		"2026-02-30t12:00:60z":  {},
		"2026-01-22_12:00:00Z":  {},
		"2026-01-22T12:00:00":   {},
		"2026-01-22  12:00:00Z": {},
		"2026-01-22T12:00Z":     {},
		"2026-01-22":            {},
		"yesterday":             {},
		"":                      {},
		"ııııııııııııııııııııııı":  {},
		"2026-01-22T12:00:60":      {},
		"\\u0000026-01-22T12:00:0": {},
	} {
		ev, err := geminihook.ParseUnverified([]byte(`{"timestamp":"` + text + `"}`))
		require.NoError(t, err)
		assert.True(t, want.Equal(ev.Time), "%q: %v", text, ev.Time)
	}
}

func TestLenientDecoding(t *testing.T) {
	noon := time.Date(2026, 1, 22, 12, 0, 0, 0, time.UTC)
	unknown := func(data string, err string) *geminihook.Unknown {
		u := &geminihook.Unknown{Data: json.RawMessage(data)}
		if data == "" {
			u.Data = nil
		}
		if err != "" {
			u.Err = errors.New(err)
		}
		return u
	}
	for _, tt := range []struct {
		name string
		body string
		want geminihook.Event
	}{
		{"empty object", `{}`, geminihook.Event{Data: unknown("", "")}},
		{"unknown type", `{"type":"batch.paused","data":{"id":"b","x":[1,{"y":"}"}]}}`, geminihook.Event{Type: "batch.paused", Data: unknown(`{"id":"b","x":[1,{"y":"}"}]}`, "")}},
		{"unknown type without data", `{"type":"ping"}`, geminihook.Event{Type: "ping", Data: unknown("", "")}},
		{"type is a number", `{"type":7,"data":{}}`, geminihook.Event{Type: "7", Data: unknown(`{}`, "")}},
		{"type is null", `{"type":null,"data":[1]}`, geminihook.Event{Data: unknown(`[1]`, "")}},
		{"type in another case is another", `{"Type":"batch.expired","type":"x"}`, geminihook.Event{Type: "x", Data: unknown("", "")}},
		{"repeated, the last counts", `{"type":"x","type":"batch.expired","data":{"id":"a","id":"b"}}`, geminihook.Event{Type: "batch.expired", Data: &geminihook.BatchExpired{ID: "b"}}},
		{"new version and fields", `{"type":"batch.expired","version":"v2","new":{"data":1},"data":{"id":"b","new":"x"}}`, geminihook.Event{Type: "batch.expired", Version: "v2", Data: &geminihook.BatchExpired{ID: "b"}}},
		{"version is a number", `{"type":"batch.expired","version":2,"data":{"id":"b"}}`, geminihook.Event{Type: "batch.expired", Version: "2", Data: &geminihook.BatchExpired{ID: "b"}}},
		{"no data", `{"type":"batch.expired"}`, geminihook.Event{Type: "batch.expired", Data: unknown("", `geminihook: the event has no "data" object`)}},
		{"data is null", `{"type":"batch.expired","data":null}`, geminihook.Event{Type: "batch.expired", Data: unknown("null", `geminihook: the event has no "data" object`)}},
		{"data is a list", `{"type":"batch.expired","data":["b"]}`, geminihook.Event{Type: "batch.expired", Data: unknown(`["b"]`, `geminihook: the event has no "data" object`)}},
		{"id is a number", `{"type":"batch.expired","data":{"id":5}}`, geminihook.Event{Type: "batch.expired", Data: unknown(`{"id":5}`, `geminihook: data field "id" is not a string`)}},
		{"fields absent or null", `{"type":"batch.succeeded","data":{"id":"b","output_file_uri":null}}`, geminihook.Event{Type: "batch.succeeded", Data: &geminihook.BatchSucceeded{ID: "b"}}},
		{"lowerCamelCase", `{"type":"batch.succeeded","data":{"id":"b","outputFileUri":"gs://o"},"userMetadata":{"a":"b"}}`, geminihook.Event{Type: "batch.succeeded", Data: &geminihook.BatchSucceeded{ID: "b", OutputFileURI: "gs://o"}, UserMetadata: map[string]any{"a": "b"}}},
		{"both cases, snake_case counts", `{"type":"batch.succeeded","data":{"output_file_uri":"gs://s","outputFileUri":"gs://c"}}`, geminihook.Event{Type: "batch.succeeded", Data: &geminihook.BatchSucceeded{OutputFileURI: "gs://s"}}},
		{"error code is a number", `{"type":"batch.failed","data":{"id":"b","error_code":13,"errorMessage":"m"}}`, geminihook.Event{Type: "batch.failed", Data: &geminihook.BatchFailed{ID: "b", ErrorCode: "13", ErrorMessage: "m"}}},
		{"error code is a negative number", `{"type":"interaction.failed","data":{"errorCode":-1}}`, geminihook.Event{Type: "interaction.failed", Data: &geminihook.InteractionFailed{ErrorCode: "-1"}}},
		{"video_uri", `{"type":"video.generated","data":{"id":"v","video_uri":"gs://v","fileName":"v.mp4"}}`, geminihook.Event{Type: "video.generated", Data: &geminihook.VideoGenerated{ID: "v", OutputFileURI: "gs://v", FileName: "v.mp4"}}},
		{"videoUri beside an empty output_file_uri", `{"type":"video.generated","data":{"output_file_uri":"","videoUri":"gs://v"}}`, geminihook.Event{Type: "video.generated", Data: &geminihook.VideoGenerated{OutputFileURI: "gs://v"}}},
		{"video_uri beside output_file_uri", `{"type":"video.generated","data":{"output_file_uri":"gs://o","video_uri":"gs://v"}}`, geminihook.Event{Type: "video.generated", Data: &geminihook.VideoGenerated{OutputFileURI: "gs://o"}}},
		{"metadata in data", `{"type":"batch.expired","data":{"id":"b","user_metadata":{"n":1}}}`, geminihook.Event{Type: "batch.expired", Data: &geminihook.BatchExpired{ID: "b"}, UserMetadata: map[string]any{"n": 1.0}}},
		{"metadata in both places", `{"user_metadata":{"a":"top"},"data":{"user_metadata":{"a":"in","b":"in"}}}`, geminihook.Event{Data: unknown(`{"user_metadata":{"a":"in","b":"in"}}`, ""), UserMetadata: map[string]any{"a": "top", "b": "in"}}},
		{"metadata is no object", `{"type":"batch.expired","data":{"id":"b"},"user_metadata":"x"}`, geminihook.Event{Type: "batch.expired", Data: &geminihook.BatchExpired{ID: "b"}}},
		{"timestamp", `{"timestamp":"2026-01-22T12:00:00Z"}`, geminihook.Event{Time: noon, Data: unknown("", "")}},
		{"timestamp is a number", `{"timestamp":1769083200}`, geminihook.Event{Data: unknown("", "")}},
		{"white space everywhere", " \r\n\t{ \"type\" :\t\"batch.expired\" , \"data\" : { \"id\" :\n\"b\" } } \n", geminihook.Event{Type: "batch.expired", Data: &geminihook.BatchExpired{ID: "b"}}},
		{"escapes", `{"ty\u0070e":"batch.\u0065xpired","data":{"i\u0064":"a\"\\\u00e9\ud83d\ude00"}}`, geminihook.Event{Type: "batch.expired", Data: &geminihook.BatchExpired{ID: "a\"\\é😀"}}},
		{"backslashes before the quote", `{"x":"\\\\","data":{"id":"\\"},"type":"batch.expired"}`, geminihook.Event{Type: "batch.expired", Data: &geminihook.BatchExpired{ID: `\`}}},
		{"invalid UTF-8", "{\"type\":\"batch.expired\",\"data\":{\"id\":\"a\xff\"}}", geminihook.Event{Type: "batch.expired", Data: &geminihook.BatchExpired{ID: "a\ufffd"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := geminihook.ParseUnverified([]byte(tt.body))
			require.NoError(t, err)
			assert.Equal(t, tt.body, string(ev.Raw))
			assert.True(t, tt.want.Time.Equal(ev.Time), ev.Time.String())
			ev.Time, tt.want.Time, ev.Raw = time.Time{}, time.Time{}, nil
			assert.Equal(t, tt.want.Data, ev.Data)
			assert.Equal(t, tt.want, *ev)
		})
	}
}

func TestNotAnObject(t *testing.T) {
	for _, body := range []string{
		"", " ", "null", "true", "7", `"x"`, "[]", `[{"type":"x"}]`, "{", "{}{}", "{}x", "\ufeff{}",
		`{"a":1,}`, `{a:1}`,
		strings.Repeat("[", 1<<16), strings.Repeat(`{"a":`, 1<<16),
	} {
		ev, err := geminihook.ParseUnverified([]byte(body))
		require.ErrorIs(t, err, geminihook.ErrPayload)
		assert.Nil(t, ev)
		assert.Less(t, len(err.Error()), 100, "the body is not in the error")
	}
}

// FuzzParseUnverified: it never panics, loses no byte of the body, fails only if
// encoding/json finds no object, and reads the fields as encoding/json does.
func FuzzParseUnverified(f *testing.F) {
	for _, t := range allTypes() {
		f.Add(webhooktest.BodyWith(t, map[string]any{"a": 1}))
	}
	f.Add([]byte(`{"type":"x","\u0074ype":"y","data":{"id":"\\\"","errorCode":1e3},"Data":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		var want map[string]json.RawMessage
		isObject := json.Unmarshal(body, &want) == nil && want != nil
		ev, err := geminihook.ParseUnverified(body)
		if isObject != (err == nil) {
			t.Fatalf("object: %v, error: %v", isObject, err)
		}
		if err != nil {
			require.ErrorIs(t, err, geminihook.ErrPayload)
			return
		}
		require.Equal(t, before, []byte(ev.Raw))
		require.NotNil(t, ev.Data)
		var typ string
		if json.Unmarshal(want["type"], &typ) == nil && string(want["type"]) != "null" {
			require.Equal(t, typ, string(ev.Type))
		}
		if u, ok := ev.Data.(*geminihook.Unknown); ok {
			require.Equal(t, string(want["data"]), string(u.Data))
			return
		}
		var data map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(want["data"], &data))
		var id string
		if v, ok := data["id"]; ok {
			require.NoError(t, json.Unmarshal(v, &id))
		}
		require.Contains(t, allStrings(ev.Data), id)
	})
}

// allStrings returns the values of all fields of the data.
func allStrings(d geminihook.Data) []string {
	b, _ := json.Marshal(d)
	var fields map[string]string
	_ = json.Unmarshal(b, &fields)
	all := make([]string, 0, len(fields))
	for _, v := range fields {
		all = append(all, v)
	}
	return all
}
