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
		return nil, withReason(ErrPayload, "the body is not a JSON object")
	}
	ev := &Event{
		Type:    EventType(scalar(top.get("type"))),
		Version: scalar(top.get("version")),
		Time:    parseTime(scalar(top.get("timestamp"))),
		Raw:     body,
	}
	data := parseObject(top.get("data"))
	ev.Data = decodeData(ev.Type, top.get("data"), data)
	for _, o := range []object{data, top} { // the top level takes precedence
		if metadata := o.get("user_metadata", "userMetadata"); strings.HasPrefix(metadata, "{") {
			// It fails only on numbers too large for float64, which are in Raw.
			_ = json.Unmarshal([]byte(metadata), &ev.UserMetadata)
		}
	}
	return ev, nil
}

// parseTime returns the time of an RFC 3339 timestamp, or the zero time if the text is
// not one. It accepts what the RFC allows and time.Parse refuses: lower-case
// letters, a space in place of the T, and leap seconds.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return t
	}
	text = strings.ToUpper(text)
	if len(text) < len("2006-01-02T15:04:05Z") {
		return time.Time{}
	}
	date, separator, minute := text[:10], text[10:11], text[11:17]
	second, rest := text[17:19], text[19:]
	if separator == " " {
		separator = "T"
	}
	leap := second == "60"
	if leap {
		second = "59"
	}
	t, err = time.Parse(time.RFC3339, date+separator+minute+second+rest)
	if err != nil {
		return time.Time{}
	}
	if leap {
		t = t.Add(time.Second)
	}
	return t
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
	unknown := &Unknown{Err: r.err}
	if text != "" {
		unknown.Data = json.RawMessage(text)
	}
	return unknown
}

// newData reads the data of a type, and returns nil if the type is not known.
func newData(t EventType, r *reader) Data {
	id := func() string { return r.string("id") }
	outputFileURI := func() string { return r.string("output_file_uri", "outputFileUri") }
	errorCode := func() string { return scalar(r.get("error_code", "errorCode")) }
	errorMessage := func() string { return r.string("error_message", "errorMessage") }
	switch t {
	case EventBatchSucceeded:
		return &BatchSucceeded{ID: id(), OutputFileURI: outputFileURI()}
	case EventBatchFailed:
		return &BatchFailed{ID: id(), ErrorCode: errorCode(), ErrorMessage: errorMessage()}
	case EventBatchExpired:
		return &BatchExpired{ID: id()}
	case EventBatchCancelled:
		return &BatchCancelled{ID: id()}
	case EventInteractionRequiresAction:
		return &InteractionRequiresAction{ID: id()}
	case EventInteractionCompleted:
		return &InteractionCompleted{ID: id()}
	case EventInteractionFailed:
		return &InteractionFailed{ID: id(), ErrorCode: errorCode(), ErrorMessage: errorMessage()}
	case EventInteractionCancelled:
		return &InteractionCancelled{ID: id()}
	case EventInteractionIncomplete:
		return &InteractionIncomplete{ID: id()}
	case EventInteractionBudgetExceeded:
		return &InteractionBudgetExceeded{ID: id()}
	case EventVideoGenerated:
		uri := outputFileURI()
		if uri == "" {
			uri = r.string("video_uri", "videoUri")
		}
		return &VideoGenerated{
			ID: id(), OutputFileURI: uri, FileName: r.string("file_name", "fileName"),
		}
	case EventVideoFailed:
		return &VideoFailed{ID: id(), ErrorCode: errorCode(), ErrorMessage: errorMessage()}
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
	value := r.get(names...)
	if value == "" || value == "null" {
		return ""
	}
	if value[0] != '"' {
		r.err = fmt.Errorf("geminihook: data field %q is not a string", names[0])
		return ""
	}
	return unquote(value)
}

// The rest is a scanner for JSON that json.Valid has accepted. It finds members
// by their exact names, which encoding/json does not do for structs, and lets
// their values have any type. A map[string]json.RawMessage would do the same with
// about 40 more allocations per event. See docs/decisions/json-scanner.md.

// object lists the members of a JSON object.
type object []member

type member struct{ name, value string } // value is JSON text

// parseObject returns nil if the JSON text is not an object.
func parseObject(text string) object {
	rest := strings.TrimSpace(text)
	if !strings.HasPrefix(rest, "{") {
		return nil
	}
	o := make(object, 0, 4) // most objects have no more members
	for rest[0] != '}' {
		name, afterName := cutValue(rest[1:]) // without the brace or comma before the name
		if name == "" {                       // an empty object
			break
		}
		value, afterValue := cutValue(afterName[1:]) // without the colon
		o = append(o, member{name: unquote(name), value: value})
		rest = afterValue
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
		switch s[i] {
		case '"':
			i = closingQuote(s, i)
		case '{', '[':
			depth++
		case ']':
			depth--
		case '}':
			if depth == 0 {
				return strings.TrimSpace(s[:i]), s[i:]
			}
			depth--
		case ':', ',':
			if depth == 0 {
				return strings.TrimSpace(s[:i]), s[i:]
			}
		}
	}
}

// closingQuote returns the index of the quote that ends the string that begins at
// s[opening].
func closingQuote(s string, opening int) int {
	i := opening + 1
	for s[i] != '"' {
		if s[i] == '\\' {
			i++ // the next character is escaped
		}
		i++
	}
	return i
}

// unquote returns the text of a JSON string.
func unquote(s string) string {
	inner := s[1 : len(s)-1]
	if !strings.Contains(inner, `\`) && utf8.ValidString(inner) {
		return inner
	}
	var text string
	_ = json.Unmarshal([]byte(s), &text) // cannot fail, because s is a valid JSON string
	return text
}

// scalar returns a string or a number as text, and "" for any other value.
func scalar(value string) string {
	if value == "" {
		return ""
	}
	switch first := value[0]; {
	case first == '"':
		return unquote(value)
	case first == '-' || ('0' <= first && first <= '9'):
		return value
	}
	return ""
}
