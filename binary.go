package geminihook

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// binaryVersion is the first byte of the binary form. The rest of version 1 is a list
// of texts, each with its length as a uvarint in front, in the order in which
// MarshalBinary appends them. Every change of the list needs another version, and
// UnmarshalBinary must go on reading this one.
const binaryVersion = 1

// The kinds of data in the binary form, besides the event types.
const (
	kindNone       EventType = ""           // Data is nil
	kindUnknown    EventType = "unknown"    // an Unknown without Err
	kindUnreadable EventType = "unreadable" // an Unknown with Err
)

// MarshalBinary encodes all of the event, for example for a queue from which
// another process takes it, restores it with [Event.UnmarshalBinary], and passes
// it to [Endpoint.Process].
//
// The first byte is the version of the form. Programs with a newer version of this
// package read what older ones have written. MarshalBinary fails if the program has
// put a value into UserMetadata that cannot be encoded as JSON.
func (ev *Event) MarshalBinary() ([]byte, error) {
	b := []byte{binaryVersion}
	b = appendText(b, ev.ID)
	b = appendText(b, ev.Type)
	b = appendText(b, ev.Version)
	b = appendTime(b, ev.Time)
	b = appendTime(b, ev.SentAt)
	b = appendText(b, ev.Proof.Scheme)
	b = appendText(b, ev.Proof.KeyName)
	b = appendText(b, strconv.Itoa(ev.Attempt))
	b = appendText(b, ev.Raw)
	metadata, err := json.Marshal(ev.UserMetadata)
	if err != nil {
		return nil, fmt.Errorf("geminihook: the event's UserMetadata cannot be encoded: %w", err)
	}
	b = appendText(b, metadata)
	return appendData(b, ev.Data), nil
}

// UnmarshalBinary restores an event that [Event.MarshalBinary] has encoded. Proof is
// restored, too, so whoever can write to the queue is trusted: nothing is verified
// again. Times are in UTC, numbers in UserMetadata are float64, and the Err of an
// [Unknown] has the same text. The event keeps no part of b.
//
// If b is damaged, or of a version that this package does not know, UnmarshalBinary
// returns an error and leaves the event as it was.
func (ev *Event) UnmarshalBinary(b []byte) error {
	if len(b) == 0 {
		return errors.New("geminihook: an encoded event is empty")
	}
	if version := b[0]; version != binaryVersion {
		return fmt.Errorf("geminihook: an encoded event is of version %d, and this program reads "+
			"version %d: a newer program has written it, or it is no event", version, binaryVersion)
	}
	r := textReader{rest: b[1:]}
	restored := Event{ // the calls are made in the order in which they are written
		ID:      r.text(),
		Type:    EventType(r.text()),
		Version: r.text(),
		Time:    r.time(),
		SentAt:  r.time(),
		Proof:   Proof{Scheme: r.text(), KeyName: r.text()},
		Attempt: int(r.number()),
		Raw:     r.bytes(),
	}
	if json.Unmarshal(r.bytes(), &restored.UserMetadata) != nil {
		r.fail("its UserMetadata is not a JSON object")
	}
	restored.Data = r.data()
	if len(r.rest) > 0 {
		r.fail("it is longer than an event")
	}
	if r.err != nil {
		return r.err
	}
	*ev = restored
	return nil
}

// appendText appends the length of the text and the text.
func appendText[T string | EventType | []byte | json.RawMessage](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// appendTime appends the seconds and nanoseconds as two texts.
func appendTime(b []byte, t time.Time) []byte {
	b = appendText(b, strconv.FormatInt(t.Unix(), 10))
	return appendText(b, strconv.Itoa(t.Nanosecond()))
}

// appendData appends the kind of the data and its texts.
func appendData(b []byte, data Data) []byte {
	kind, fields := dataFields(data)
	b = appendText(b, kind)
	for _, field := range fields {
		b = appendText(b, *field)
	}
	if u, ok := data.(*Unknown); ok {
		b = appendText(b, u.Data)
		if u.Err != nil {
			b = appendText(b, u.Err.Error())
		}
	}
	return b
}

// dataFields returns the kind of the data and its fields, in the order of the
// binary form.
func dataFields(data Data) (kind EventType, fields []*string) {
	switch d := data.(type) {
	case *BatchSucceeded:
		return EventBatchSucceeded, []*string{&d.ID, &d.OutputFileURI}
	case *BatchFailed:
		return EventBatchFailed, []*string{&d.ID, &d.ErrorCode, &d.ErrorMessage}
	case *BatchExpired:
		return EventBatchExpired, []*string{&d.ID}
	case *BatchCancelled:
		return EventBatchCancelled, []*string{&d.ID}
	case *InteractionRequiresAction:
		return EventInteractionRequiresAction, []*string{&d.ID}
	case *InteractionCompleted:
		return EventInteractionCompleted, []*string{&d.ID}
	case *InteractionFailed:
		return EventInteractionFailed, []*string{&d.ID, &d.ErrorCode, &d.ErrorMessage}
	case *InteractionCancelled:
		return EventInteractionCancelled, []*string{&d.ID}
	case *InteractionIncomplete:
		return EventInteractionIncomplete, []*string{&d.ID}
	case *InteractionBudgetExceeded:
		return EventInteractionBudgetExceeded, []*string{&d.ID}
	case *VideoGenerated:
		return EventVideoGenerated, []*string{&d.ID, &d.OutputFileURI, &d.FileName}
	case *VideoFailed:
		return EventVideoFailed, []*string{&d.ID, &d.ErrorCode, &d.ErrorMessage}
	case *Unknown:
		if d.Err != nil {
			return kindUnreadable, nil
		}
		return kindUnknown, nil
	}
	return kindNone, nil
}

// textReader reads texts one after the other. After an error, all texts are empty.
type textReader struct {
	rest []byte
	err  error
}

// fail keeps the first error, from which all others follow.
func (r *textReader) fail(reason string) {
	if r.err == nil {
		r.err = errors.New("geminihook: an encoded event is damaged: " + reason)
	}
	r.rest = nil
}

// bytes returns a copy of the next text, or nil if it is empty.
func (r *textReader) bytes() []byte {
	length, size := binary.Uvarint(r.rest)
	if size <= 0 || length > uint64(len(r.rest)-size) {
		r.fail("it is too short")
		return nil
	}
	end := size + int(length)
	text := r.rest[size:end]
	r.rest = r.rest[end:]
	return append([]byte(nil), text...)
}

func (r *textReader) text() string { return string(r.bytes()) }

func (r *textReader) number() int64 {
	n, err := strconv.ParseInt(r.text(), 10, 64)
	if err != nil {
		r.fail("it has a text in place of a number")
	}
	return n
}

func (r *textReader) time() time.Time {
	seconds, nanoseconds := r.number(), r.number()
	return time.Unix(seconds, nanoseconds).UTC()
}

// data reads the kind of the data and its texts.
func (r *textReader) data() Data {
	kind := EventType(r.text())
	switch kind {
	case kindNone:
		return nil
	case kindUnknown:
		return &Unknown{Data: r.bytes()}
	case kindUnreadable:
		return &Unknown{Data: r.bytes(), Err: errors.New(r.text())}
	}
	data := newData(kind, &reader{}) // without members, all its fields are empty
	if data == nil {
		r.fail("it has data of a kind that this program does not know")
		return nil
	}
	_, fields := dataFields(data)
	for _, field := range fields {
		*field = r.text()
	}
	return data
}
