package geminihook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// EventType names what happened, e.g. "batch.succeeded".
type EventType string

// The event types that Google's page and SDK list. Other types arrive as
// Unknown data with their Type as it was sent.
const (
	EventBatchSucceeded            EventType = "batch.succeeded"             // a batch has finished
	EventBatchFailed               EventType = "batch.failed"                // system or validation error
	EventBatchExpired              EventType = "batch.expired"               // a batch was not finished in time
	EventBatchCancelled            EventType = "batch.cancelled"             // cancelled by the user
	EventInteractionRequiresAction EventType = "interaction.requires_action" // a function call waits for the program
	EventInteractionCompleted      EventType = "interaction.completed"       // a background interaction is done
	EventInteractionFailed         EventType = "interaction.failed"          // system or validation error
	EventInteractionCancelled      EventType = "interaction.cancelled"       // cancelled by the user
	EventVideoGenerated            EventType = "video.generated"             // a video is ready
)

// Event is one event that Gemini reports. Deliveries of the same event have
// the same ID. The zero value of a field means that the body had none.
type Event struct {
	// ID is webhook-id: the idempotency key, the same in every delivery of
	// the event.
	ID string
	// Type is the body's "type" as it was sent, known or not.
	Type EventType
	// Version is the body's "version", e.g. "v1".
	Version string
	// Time is when the event happened, the body's "timestamp"; zero if it is
	// absent or not RFC 3339.
	Time time.Time
	// SentAt is webhook-timestamp: when this attempt was sent, in UTC, to the
	// second.
	SentAt time.Time
	// Data is one of *BatchSucceeded … *VideoGenerated, or *Unknown. It is
	// never nil.
	Data Data
	// UserMetadata is what the program put into webhook_config.user_metadata
	// when it created the job. Numbers are float64.
	UserMetadata map[string]any
	// Raw is the body, byte for byte. Do not change it.
	Raw json.RawMessage
	// Proof says which key signed the delivery; zero from ParseUnverified.
	Proof Proof
	// Attempt counts the runs of the program's function for this event: 1 on
	// the first. It is 0 before the event is claimed, and where a Transactor
	// runs the function, because it keeps no count.
	Attempt int
}

// Data is what an event is about: a pointer to one of the structs below. The
// set is closed; an event type that this package does not know is an *Unknown.
type Data interface {
	decode(dataFields) error
}

// BatchSucceeded is the data of "batch.succeeded".
type BatchSucceeded struct {
	ID            string // the batch
	OutputFileURI string // only for batches with an input file
}

// BatchFailed is the data of "batch.failed".
type BatchFailed struct {
	ID           string // the batch
	ErrorCode    string // as sent, be it a string or a number
	ErrorMessage string
}

// BatchExpired is the data of "batch.expired".
type BatchExpired struct {
	ID string // the batch
}

// BatchCancelled is the data of "batch.cancelled".
type BatchCancelled struct {
	ID string // the batch
}

// InteractionRequiresAction is the data of "interaction.requires_action".
type InteractionRequiresAction struct {
	ID string // the interaction
}

// InteractionCompleted is the data of "interaction.completed".
type InteractionCompleted struct {
	ID string // the interaction
}

// InteractionFailed is the data of "interaction.failed".
type InteractionFailed struct {
	ID           string // the interaction
	ErrorCode    string // as sent, be it a string or a number
	ErrorMessage string
}

// InteractionCancelled is the data of "interaction.cancelled".
type InteractionCancelled struct {
	ID string // the interaction
}

// VideoGenerated is the data of "video.generated".
type VideoGenerated struct {
	ID            string // the operation
	OutputFileURI string // Google's cookbook calls it video_uri, which is read too
	FileName      string
}

// Unknown is the data of an event type that this package does not know, or
// data of a known type that it could not read. The event is genuine either
// way; Event.Raw has all of it.
type Unknown struct {
	// Data is the body's "data" as it was sent; nil if there is none.
	Data json.RawMessage
	// Err says why the data of a known type could not be read; nil if the
	// type is not known.
	Err error
}

// String leaves out the data, which does not belong in a log.
func (u Unknown) String() string { return fmt.Sprintf("unknown data (%d bytes)", len(u.Data)) }

// GoString is String.
func (u Unknown) GoString() string { return u.String() }

func newData(t EventType) Data {
	switch t {
	case EventBatchSucceeded:
		return new(BatchSucceeded)
	case EventBatchFailed:
		return new(BatchFailed)
	case EventBatchExpired:
		return new(BatchExpired)
	case EventBatchCancelled:
		return new(BatchCancelled)
	case EventInteractionRequiresAction:
		return new(InteractionRequiresAction)
	case EventInteractionCompleted:
		return new(InteractionCompleted)
	case EventInteractionFailed:
		return new(InteractionFailed)
	case EventInteractionCancelled:
		return new(InteractionCancelled)
	case EventVideoGenerated:
		return new(VideoGenerated)
	}
	return nil
}

// String names the event and leaves out the body, so that an event may be
// logged.
func (ev Event) String() string {
	return "event " + strconv.Quote(ev.ID) + " " + strconv.Quote(string(ev.Type))
}

// GoString is String.
func (ev Event) GoString() string { return ev.String() }

// LogValue is the ID, the type and the attempt, for slog.
func (ev Event) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", ev.ID), slog.String("type", string(ev.Type)), slog.Int("attempt", ev.Attempt))
}

type contextKey struct{}

// FromContext returns the event that Endpoint put into the context of the
// program's function or of the handler behind Middleware.
func FromContext(ctx context.Context) (*Event, bool) {
	ev, ok := ctx.Value(contextKey{}).(*Event)
	return ev, ok
}
