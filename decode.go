package geminihook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ParseUnverified decodes a body that something else has verified, or that
// needs no proof, like a recorded one. Endpoint and Receive verify first and
// then decode the same way.
//
// No event is lost: a type, version or field that this package does not know,
// an odd timestamp and data that do not fit still make an Event, with Unknown
// data where need be. Names are read in snake_case and in lowerCamelCase. The
// error, which wraps ErrPayload, means that the body is not a JSON object.
//
// ID, SentAt, Proof and Attempt come from elsewhere and stay zero. The event
// keeps the body, not a copy.
func ParseUnverified(body []byte) (*Event, error) {
	if !json.Valid(body) {
		return nil, errNotObject
	}
	top, ok := asObject(bytes.TrimLeft(body, " \t\r\n"))
	if !ok {
		return nil, errNotObject
	}
	fields := [...]field{
		{name: "type"}, {name: "version"}, {name: "timestamp"}, {name: "data"}, {name: "user_metadata"},
	}
	top.pick(fields[:])
	ev := &Event{
		Type:    EventType(text(fields[0].value)),
		Version: text(fields[1].value),
		Raw:     body,
	}
	ev.Time = rfc3339(fields[2].value)
	ev.decodeData(fields[3].value, fields[4].value)
	return ev, nil
}

var (
	errNotObject     = refuse(ErrPayload, "it is not a JSON object")
	errDataNotObject = errors.New(`geminihook: the event has no "data" object`)
)

func (ev *Event) decodeData(data, metadata json.RawMessage) {
	inner, ok := asObject(data)
	fields := dataFields{
		{name: "id"},
		{name: "output_file_uri"},
		{name: "video_uri"},
		{name: "file_name"},
		{name: "error_code"},
		{name: "error_message"},
		{name: "user_metadata"},
	}
	inner.pick(fields[:])
	ev.UserMetadata = userMetadata(fields[6].value, metadata)

	ev.Data = newData(ev.Type)
	switch {
	case ev.Data == nil:
		ev.Data = &Unknown{Data: data}
	case !ok:
		ev.Data = &Unknown{Data: data, Err: errDataNotObject}
	default:
		if err := ev.Data.decode(fields); err != nil {
			ev.Data = &Unknown{Data: data, Err: err}
		}
	}
}

// rfc3339 reads a time, and returns the zero Time if it is none.
func rfc3339(v json.RawMessage) time.Time {
	var t time.Time
	if t.UnmarshalJSON(v) == nil { // does not copy the text, but is stricter
		return t
	}
	t, _ = time.Parse(time.RFC3339, text(v))
	return t
}

// userMetadata merges the two places where user_metadata may stand; where both
// have a name, the top level wins.
func userMetadata(inData, atTop json.RawMessage) map[string]any {
	if len(inData)+len(atTop) == 0 {
		return nil
	}
	var merged map[string]any
	for _, v := range []json.RawMessage{inData, atTop} {
		if _, ok := asObject(v); ok {
			_ = json.Unmarshal(v, &merged) // what it cannot take, a number beyond float64, is in Raw
		}
	}
	return merged
}

// dataFields are the fields of all types' data.
type dataFields [7]field

func (f *dataFields) id(dst *string) error       { return readString(f[0], dst) }
func (f *dataFields) fileURI(dst *string) error  { return readString(f[1], dst) }
func (f *dataFields) videoURI(dst *string) error { return readString(f[2], dst) }
func (f *dataFields) fileName(dst *string) error { return readString(f[3], dst) }

// failure reads the code, be it a string or a number, and the message.
func (f *dataFields) failure(code, message *string) error {
	*code = text(f[4].value)
	return readString(f[5], message)
}

// readString reads a string; absent and null leave dst as it is.
func readString(f field, dst *string) error {
	switch {
	case len(f.value) == 0 || f.value[0] == 'n':
		return nil
	case f.value[0] != '"':
		return fmt.Errorf("geminihook: data field %q is not a string", f.name)
	}
	*dst = unquote(f.value)
	return nil
}

func (b *BatchSucceeded) decode(f dataFields) error {
	return errors.Join(f.id(&b.ID), f.fileURI(&b.OutputFileURI))
}

func (b *BatchFailed) decode(f dataFields) error {
	return errors.Join(f.id(&b.ID), f.failure(&b.ErrorCode, &b.ErrorMessage))
}

func (b *BatchExpired) decode(f dataFields) error   { return f.id(&b.ID) }
func (b *BatchCancelled) decode(f dataFields) error { return f.id(&b.ID) }

func (i *InteractionRequiresAction) decode(f dataFields) error { return f.id(&i.ID) }
func (i *InteractionCompleted) decode(f dataFields) error      { return f.id(&i.ID) }
func (i *InteractionCancelled) decode(f dataFields) error      { return f.id(&i.ID) }

func (i *InteractionFailed) decode(f dataFields) error {
	return errors.Join(f.id(&i.ID), f.failure(&i.ErrorCode, &i.ErrorMessage))
}

func (v *VideoGenerated) decode(f dataFields) error {
	err := errors.Join(f.id(&v.ID), f.fileURI(&v.OutputFileURI), f.fileName(&v.FileName))
	if v.OutputFileURI == "" {
		err = errors.Join(err, f.videoURI(&v.OutputFileURI))
	}
	return err
}

func (u *Unknown) decode(dataFields) error { return nil }
