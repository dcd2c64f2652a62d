package geminihook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ParseUnverified decodes a body that something else has verified, or that
// needs no verification because it was recorded. [Endpoint] verifies first and
// then decodes in the same way.
//
// It loses no event: an unknown type, version or field, an odd timestamp and
// data of an unexpected form still make an Event, if need be with [Unknown]
// data. It reads names in snake_case and in lowerCamelCase; if both are there,
// snake_case wins. If a name is repeated, the last one wins. The error, which
// wraps [ErrPayload], means that the body is not a JSON object.
//
// ID, SentAt, Proof and Attempt stay zero: set ID before you pass the event to
// [Endpoint.Process]. The event keeps the body itself, not a copy.
func ParseUnverified(body []byte) (*Event, error) {
	var top object
	if json.Valid(body) {
		top = parseObject(string(body))
	}
	if top == nil {
		return nil, refuse(ErrPayload, "the body is not a JSON object")
	}
	ev := &Event{Type: EventType(scalar(top.get("type"))), Version: scalar(top.get("version")), Raw: body}
	ev.Time, _ = time.Parse(time.RFC3339, scalar(top.get("timestamp")))
	data := parseObject(top.get("data"))
	ev.Data = decodeData(ev.Type, top.get("data"), data)
	for _, o := range []object{data, top} { // the top level takes precedence
		if metadata := o.get("user_metadata", "userMetadata"); strings.HasPrefix(metadata, "{") {
			// An error means that a number is too large for float64: it is in Raw.
			_ = json.Unmarshal([]byte(metadata), &ev.UserMetadata)
		}
	}
	return ev, nil
}

// decodeData decodes "data", given as JSON text and, if it is an object, as its
// members.
func decodeData(t EventType, text string, members object) Data {
	r := reader{object: members}
	data := newData(t, &r)
	if data != nil && members == nil {
		r.err = errors.New(`geminihook: the event has no "data" object`)
	}
	if data != nil && r.err == nil {
		return data
	}
	return &Unknown{Data: append(json.RawMessage(nil), text...), Err: r.err} // Data stays nil if the event has none
}

// newData reads the data of a type, and returns nil if the type is not known.
func newData(t EventType, r *reader) Data {
	switch t {
	case EventBatchSucceeded:
		return &BatchSucceeded{ID: r.string("id"), OutputFileURI: r.string("output_file_uri", "outputFileUri")}
	case EventBatchFailed:
		return &BatchFailed{ID: r.string("id"), ErrorCode: scalar(r.get("error_code", "errorCode")), ErrorMessage: r.string("error_message", "errorMessage")}
	case EventBatchExpired:
		return &BatchExpired{ID: r.string("id")}
	case EventBatchCancelled:
		return &BatchCancelled{ID: r.string("id")}
	case EventInteractionRequiresAction:
		return &InteractionRequiresAction{ID: r.string("id")}
	case EventInteractionCompleted:
		return &InteractionCompleted{ID: r.string("id")}
	case EventInteractionFailed:
		return &InteractionFailed{ID: r.string("id"), ErrorCode: scalar(r.get("error_code", "errorCode")), ErrorMessage: r.string("error_message", "errorMessage")}
	case EventInteractionCancelled:
		return &InteractionCancelled{ID: r.string("id")}
	case EventVideoGenerated:
		uri := r.string("output_file_uri", "outputFileUri")
		if uri == "" {
			uri = r.string("video_uri", "videoUri")
		}
		return &VideoGenerated{ID: r.string("id"), OutputFileURI: uri, FileName: r.string("file_name", "fileName")}
	}
	return nil
}

// reader reads the members of "data" and keeps what went wrong.
type reader struct {
	object
	err error
}

// string reads a string, which is empty if it is absent or null.
func (r *reader) string(names ...string) string {
	switch value := r.get(names...); {
	case value == "" || value == "null":
		return ""
	case value[0] == '"':
		return unquote(value)
	}
	r.err = fmt.Errorf("geminihook: data field %q is not a string", names[0])
	return ""
}

// The rest is a scanner for JSON that json.Valid has accepted. It finds members
// by their exact names, which encoding/json does not do for structs, and lets
// their values have any type. A map[string]json.RawMessage would do the same with
// about 40 more allocations per event. See docs/decisions/json-scanner.md.

// object lists the members of a JSON object. The values are JSON text.
type object []struct{ name, value string }

// parseObject returns nil if the JSON text is not an object.
func parseObject(text string) object {
	rest := strings.TrimSpace(text)
	if !strings.HasPrefix(rest, "{") {
		return nil
	}
	o := make(object, 0, 4) // most objects have no more members
	for rest[0] != '}' {
		var name, value string
		if name, rest = cutValue(rest[1:]); name == "" { // an empty object
			break
		}
		value, rest = cutValue(rest[1:])
		o = append(o, struct{ name, value string }{unquote(name), value})
	}
	return o
}

// get returns the value of the member with the first of the names that the
// object has, or the empty string, which is not JSON text. If a name is repeated,
// the last member counts.
func (o object) get(names ...string) string {
	for _, name := range names {
		for _, member := range slices.Backward(o) {
			if member.name == name {
				return member.value
			}
		}
	}
	return ""
}

// cutValue cuts a name or a value off s, which is inside an object, before the
// colon, comma or brace that follows it.
func cutValue(s string) (value, rest string) {
	depth := 0
	for i := 0; ; i++ {
		switch c := s[i]; {
		case c == '"':
			for i++; s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ':' || c == ',' || c == '}'):
			return strings.TrimSpace(s[:i]), s[i:]
		case c == '}' || c == ']':
			depth--
		}
	}
}

// unquote returns the text of a JSON string.
func unquote(s string) string {
	if inner := s[1 : len(s)-1]; !strings.Contains(inner, `\`) && utf8.ValidString(inner) {
		return inner
	}
	var text string
	_ = json.Unmarshal([]byte(s), &text) // cannot fail, because s is a valid JSON string
	return text
}

// scalar returns a string or a number as text, and "" for any other value.
func scalar(value string) string {
	switch {
	case strings.HasPrefix(value, `"`):
		return unquote(value)
	case value != "" && strings.IndexByte("-0123456789", value[0]) >= 0:
		return value
	}
	return ""
}
