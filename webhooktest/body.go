package webhooktest

import (
	"encoding/json"

	"github.com/geminihook/geminihook"
)

// Types returns the event types that Google's page lists, in its order.
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

// Body returns a body of the event type, made after Google's page: no captured
// one is public. The values are examples.
func Body(t geminihook.EventType) []byte {
	return BodyWith(t, nil)
}

// BodyWith returns Body with a user_metadata in it, as for a job that was
// created with one. Nil leaves it out. It panics if JSON cannot hold it.
func BodyWith(t geminihook.EventType, metadata map[string]any) []byte {
	b, err := json.Marshal(struct {
		Type      geminihook.EventType `json:"type"`
		Version   string               `json:"version"`
		Timestamp string               `json:"timestamp"`
		Data      map[string]string    `json:"data"`
		Metadata  map[string]any       `json:"user_metadata,omitempty"`
	}{t, "v1", "2026-01-22T12:00:00Z", data(t), metadata})
	if err != nil {
		panic("webhooktest: BodyWith: " + err.Error())
	}
	return b
}

func data(t geminihook.EventType) map[string]string {
	const message = "The request could not be processed."
	switch t {
	case geminihook.EventBatchSucceeded:
		return map[string]string{"id": "batch_123456", "output_file_uri": "gs://my-bucket/results.jsonl"}
	case geminihook.EventBatchFailed:
		return map[string]string{"id": "batch_123456", "error_code": "INVALID_ARGUMENT", "error_message": message}
	case geminihook.EventBatchExpired, geminihook.EventBatchCancelled:
		return map[string]string{"id": "batch_123456"}
	case geminihook.EventInteractionFailed:
		return map[string]string{"id": "interaction_123456", "error_code": "INTERNAL", "error_message": message}
	case geminihook.EventVideoGenerated:
		return map[string]string{"id": "video_123456", "output_file_uri": "gs://my-bucket/video.mp4", "file_name": "video.mp4"}
	}
	return map[string]string{"id": "interaction_123456"}
}
