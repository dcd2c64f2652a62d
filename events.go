package geminihook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// EventType names what happened, for example "batch.succeeded".
type EventType string

// The event types that Google's page and SDK list. Events of types that have no
// constant have [Unknown] data and their Type as it was sent.
const (
	EventBatchSucceeded EventType = "batch.succeeded" // the batch has finished
	EventBatchFailed    EventType = "batch.failed"    // a system or validation error
	EventBatchExpired   EventType = "batch.expired"   // not finished in time
	EventBatchCancelled EventType = "batch.cancelled" // canceled by a user

	EventInteractionRequiresAction EventType = "interaction.requires_action" // waits for you
	EventInteractionCompleted      EventType = "interaction.completed"       // has finished
	EventInteractionFailed         EventType = "interaction.failed"          // ended in an error
	EventInteractionCancelled      EventType = "interaction.cancelled"       // canceled by a user

	EventVideoGenerated EventType = "video.generated" // the video is ready
)

// The ends of jobs that only the API reports: no webhook does. A program that asks
// the API for the state of its jobs makes events of these types.
const (
	EventInteractionIncomplete     EventType = "interaction.incomplete"      // not completed
	EventInteractionBudgetExceeded EventType = "interaction.budget_exceeded" // out of budget
	EventVideoFailed               EventType = "video.failed"                // no video
)

// Event is one event that Gemini reports. All deliveries of an event have the
// same ID. A field that the body lacks is zero, except for Data.
//
// In fmt, an Event shows only its ID and type, and in slog also its attempt. It has
// no form in JSON. To keep an event, use [Event.MarshalBinary].
type Event struct {
	// ID is webhook-id, the idempotency key.
	ID string
	// Type is the body's "type" as it was sent, known or not.
	Type EventType
	// Version is the body's "version", for example "v1".
	Version string
	// Time is the body's "timestamp", when the event happened. It is zero if
	// the timestamp is absent or not RFC 3339. A leap second is the first second
	// of the next minute.
	Time time.Time
	// SentAt is webhook-timestamp, when this attempt was sent, in UTC and to
	// the second.
	SentAt time.Time
	// Data is what the event is about. It is never nil in an event that this
	// package returns.
	Data Data
	// UserMetadata is what the program put into webhook_config.user_metadata
	// when it created the job. Numbers are float64. Names at the top level of
	// the body take precedence over names in its "data".
	UserMetadata map[string]any
	// Raw is the body, byte for byte. Do not change it.
	Raw json.RawMessage
	// Proof tells how the delivery was verified. ParseUnverified leaves it
	// zero.
	Proof Proof
	// Attempt counts the runs of the program's function for this event,
	// starting with 1. It is zero before the event is claimed, and with a
	// Transactor, which keeps no count.
	Attempt int
}

// JobID returns the id of the batch, interaction or video operation that the
// event is about: "id" in the body's "data", as it was sent. It is empty if
// there is none.
func (ev *Event) JobID() string {
	if ev.Data == nil {
		return ""
	}
	return ev.Data.jobID()
}

// EndsJob reports whether the event is the end of its job: true for every type
// of Data except *[InteractionRequiresAction], after which the interaction goes on,
// and *[Unknown].
func (ev *Event) EndsJob() bool {
	switch ev.Data.(type) {
	case nil, *Unknown, *InteractionRequiresAction:
		return false
	}
	return true
}

// Data is what an event is about. It is a *[BatchSucceeded], *[BatchFailed],
// *[BatchExpired], *[BatchCancelled], *[InteractionRequiresAction],
// *[InteractionCompleted], *[InteractionFailed], *[InteractionCancelled],
// *[InteractionIncomplete], *[InteractionBudgetExceeded], *[VideoGenerated],
// *[VideoFailed], or *[Unknown]. No other package can add a type.
type Data interface {
	jobID() string
}

// BatchSucceeded is the data of "batch.succeeded".
type BatchSucceeded struct {
	ID            string // the batch
	OutputFileURI string // only for batches with an input file
}

// BatchFailed is the data of "batch.failed".
type BatchFailed struct {
	ID           string // the batch
	ErrorCode    string // as sent, whether a string or a number
	ErrorMessage string
}

// BatchExpired is the data of "batch.expired". ID is the batch.
type BatchExpired struct{ ID string }

// BatchCancelled is the data of "batch.cancelled". ID is the batch.
type BatchCancelled struct{ ID string }

// InteractionRequiresAction is the data of "interaction.requires_action". ID is the
// interaction.
type InteractionRequiresAction struct{ ID string }

// InteractionCompleted is the data of "interaction.completed". ID is the
// interaction.
type InteractionCompleted struct{ ID string }

// InteractionFailed is the data of "interaction.failed".
type InteractionFailed struct {
	ID           string // the interaction
	ErrorCode    string // as sent, whether a string or a number
	ErrorMessage string
}

// InteractionCancelled is the data of "interaction.cancelled". ID is the
// interaction.
type InteractionCancelled struct{ ID string }

// InteractionIncomplete is the data of "interaction.incomplete", which only the API
// reports. ID is the interaction.
type InteractionIncomplete struct{ ID string }

// InteractionBudgetExceeded is the data of "interaction.budget_exceeded", which only
// the API reports. ID is the interaction.
type InteractionBudgetExceeded struct{ ID string }

// VideoGenerated is the data of "video.generated".
type VideoGenerated struct {
	ID            string // the operation
	OutputFileURI string // "output_file_uri" or, as Google's cookbook has it, "video_uri"
	FileName      string
}

// VideoFailed is the data of "video.failed", which only the API reports.
type VideoFailed struct {
	ID           string // the operation
	ErrorCode    string // as reported, whether a string or a number
	ErrorMessage string
}

// Unknown is the data of an event whose type this package does not know, or
// data of a known type that could not be read. Either way, [Event.Raw] has all of
// it.
type Unknown struct {
	// Data is the body's "data" as it was sent. It is nil if there is none.
	Data json.RawMessage
	// Err is why the data of a known type could not be read. It is nil if the
	// type is not known.
	Err error
}

// String leaves out the data, which does not belong in a log.
func (u Unknown) String() string { return fmt.Sprintf("unknown data (%d bytes)", len(u.Data)) }

// Format writes the same as String, whatever the verb.
func (u Unknown) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, u.String()) }

// LogValue returns the same as String for slog.
func (u Unknown) LogValue() slog.Value { return slog.StringValue(u.String()) }

func (b *BatchSucceeded) jobID() string            { return b.ID }
func (b *BatchFailed) jobID() string               { return b.ID }
func (b *BatchExpired) jobID() string              { return b.ID }
func (b *BatchCancelled) jobID() string            { return b.ID }
func (i *InteractionRequiresAction) jobID() string { return i.ID }
func (i *InteractionCompleted) jobID() string      { return i.ID }
func (i *InteractionFailed) jobID() string         { return i.ID }
func (i *InteractionCancelled) jobID() string      { return i.ID }
func (i *InteractionIncomplete) jobID() string     { return i.ID }
func (i *InteractionBudgetExceeded) jobID() string { return i.ID }
func (v *VideoGenerated) jobID() string            { return v.ID }
func (v *VideoFailed) jobID() string               { return v.ID }

func (u *Unknown) jobID() string {
	if !json.Valid(u.Data) { // possible if the program made the event itself
		return ""
	}
	return scalar(parseObject(string(u.Data)).get("id"))
}

// String names the event and leaves out the body, so that an event can be
// logged.
func (ev Event) String() string {
	return "event " + strconv.Quote(ev.ID) + " " + strconv.Quote(string(ev.Type))
}

// Format writes the same as String, whatever the verb.
func (ev Event) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, ev.String()) }

// LogValue returns the ID, the type and the attempt for slog.
func (ev Event) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", ev.ID),
		slog.String("type", string(ev.Type)),
		slog.Int("attempt", ev.Attempt),
	)
}

// MarshalJSON fails. What it could encode would either lack the body or carry the
// body into a log, and with it user_metadata, which can hold a secret such as the
// token of a [Binding]. To keep an event, use [Event.MarshalBinary], or its ID and
// Raw.
func (ev Event) MarshalJSON() ([]byte, error) {
	return nil, errors.New("geminihook: an Event cannot be encoded as JSON: " +
		"use MarshalBinary for all of it, or encode its ID and Raw")
}

// UnmarshalJSON fails, because an Event has no form in JSON. To decode a body, use
// [ParseUnverified].
func (ev *Event) UnmarshalJSON([]byte) error {
	return errors.New("geminihook: an Event cannot be decoded from JSON: " +
		"use UnmarshalBinary for what MarshalBinary returned, or ParseUnverified for a body")
}

type contextKey struct{}

// FromContext returns the event that Endpoint put into the context of the
// program's function or of the handler behind [Endpoint.Middleware]. If there is
// none, ok is false.
func FromContext(ctx context.Context) (ev *Event, ok bool) {
	ev, ok = ctx.Value(contextKey{}).(*Event)
	return ev, ok
}
