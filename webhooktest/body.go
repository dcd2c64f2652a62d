package webhooktest

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// Types returns the event types that Google's page lists, in its order: those that
// webhooks deliver. The types that only the API reports, such as
// [geminihook.EventVideoFailed], are not among them; [Body] and [NewData] know them.
func Types() []geminihook.EventType {
	return []geminihook.EventType{
		geminihook.EventBatchSucceeded,
		geminihook.EventBatchFailed,
		geminihook.EventBatchExpired,
		geminihook.EventBatchCancelled,
		geminihook.EventInteractionRequiresAction,
		geminihook.EventInteractionCompleted,
		geminihook.EventInteractionFailed,
		geminihook.EventInteractionCancelled,
		geminihook.EventVideoGenerated,
	}
}

// Body returns the body of an event of type t with example values, which are the
// same in each call. It follows the examples on Google's page, because no captured
// delivery is public. [New] makes deliveries with a fresh id and time instead.
//
// A type that the page does not list gets data with nothing but an id. The id
// begins with the part of the type before its first dot, as the ids of the
// listed types do: a "batch.paused" has the id "batch_123456".
func Body(t geminihook.EventType) []byte {
	return BodyWith(t, nil)
}

// BodyWith is like [Body] and adds metadata as user_metadata, as for a job that
// was created with it. Nil or empty metadata is left out. BodyWith panics if
// metadata cannot be encoded as JSON.
func BodyWith(t geminihook.EventType, metadata map[string]any) []byte {
	return encode(t, time.Date(2026, 1, 22, 12, 0, 0, 0, time.UTC), example(t, "123456"), metadata)
}

// encode returns a body in the order of Google's page.
func encode(t geminihook.EventType, at time.Time, data any, metadata map[string]any) []byte {
	b, err := json.Marshal(struct {
		Type      geminihook.EventType `json:"type"`
		Version   string               `json:"version"`
		Timestamp string               `json:"timestamp"`
		Data      any                  `json:"data"`
		Metadata  map[string]any       `json:"user_metadata,omitempty"`
	}{t, "v1", at.UTC().Format(time.RFC3339), data, metadata})
	if err != nil {
		panic("webhooktest: user_metadata: " + err.Error())
	}
	return b
}

// example returns example data. The id ends in number.
func example(t geminihook.EventType, number string) map[string]string {
	kind, _, _ := strings.Cut(string(t), ".")
	d := map[string]string{"id": cmp.Or(kind, "event") + "_" + number}
	switch t {
	case geminihook.EventBatchSucceeded:
		d["output_file_uri"] = "gs://my-bucket/results.jsonl"
	case geminihook.EventBatchFailed:
		d["error_code"] = "INVALID_ARGUMENT"
		d["error_message"] = "The request could not be processed."
	case geminihook.EventInteractionFailed, geminihook.EventVideoFailed:
		d["error_code"] = "INTERNAL"
		d["error_message"] = "The request could not be processed."
	case geminihook.EventVideoGenerated:
		d["output_file_uri"], d["file_name"] = "gs://my-bucket/video.mp4", "video.mp4"
	}
	return d
}
