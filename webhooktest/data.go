package webhooktest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/geminihook/geminihook"
)

// NewData is like [New] with the given data, for example a
// *[geminihook.BatchSucceeded]. The type of the event follows from it. An empty ID
// is replaced by a fresh one, and other empty fields are left out. NewData panics if
// data is nil or a *[geminihook.Unknown], which has no type: use [NewBody].
func NewData(data geminihook.Data, signers ...Signer) *Delivery {
	t, fields := dataFields(data)
	if t == "" {
		panic(fmt.Sprintf("webhooktest: NewData: %T has no event type: use NewBody", data))
	}
	fields.ID = cmp.Or(fields.ID, example(t, fresh())["id"])
	return NewBody(encode(t, time.Now(), fields, nil), signers...)
}

// fields are the members of "data".
type fields struct {
	ID            string `json:"id"`
	OutputFileURI string `json:"output_file_uri,omitempty"`
	FileName      string `json:"file_name,omitempty"`
	ErrorCode     string `json:"error_code,omitempty"`
	ErrorMessage  string `json:"error_message,omitempty"`
}

// dataFields returns the event type of the data, and its fields. The type is empty if
// the data has none.
func dataFields(data geminihook.Data) (geminihook.EventType, fields) {
	failed := func(id, code, message string) fields {
		return fields{ID: id, ErrorCode: code, ErrorMessage: message}
	}
	switch d := data.(type) {
	case *geminihook.BatchSucceeded:
		return geminihook.EventBatchSucceeded, fields{ID: d.ID, OutputFileURI: d.OutputFileURI}
	case *geminihook.BatchFailed:
		return geminihook.EventBatchFailed, failed(d.ID, d.ErrorCode, d.ErrorMessage)
	case *geminihook.BatchExpired:
		return geminihook.EventBatchExpired, fields{ID: d.ID}
	case *geminihook.BatchCancelled:
		return geminihook.EventBatchCancelled, fields{ID: d.ID}
	case *geminihook.InteractionRequiresAction:
		return geminihook.EventInteractionRequiresAction, fields{ID: d.ID}
	case *geminihook.InteractionCompleted:
		return geminihook.EventInteractionCompleted, fields{ID: d.ID}
	case *geminihook.InteractionFailed:
		return geminihook.EventInteractionFailed, failed(d.ID, d.ErrorCode, d.ErrorMessage)
	case *geminihook.InteractionCancelled:
		return geminihook.EventInteractionCancelled, fields{ID: d.ID}
	case *geminihook.InteractionIncomplete:
		return geminihook.EventInteractionIncomplete, fields{ID: d.ID}
	case *geminihook.InteractionBudgetExceeded:
		return geminihook.EventInteractionBudgetExceeded, fields{ID: d.ID}
	case *geminihook.VideoGenerated:
		return geminihook.EventVideoGenerated,
			fields{ID: d.ID, OutputFileURI: d.OutputFileURI, FileName: d.FileName}
	case *geminihook.VideoFailed:
		return geminihook.EventVideoFailed, failed(d.ID, d.ErrorCode, d.ErrorMessage)
	}
	return "", fields{}
}

// WithMetadata returns a copy whose body has the metadata as user_metadata, as for
// a job that was created with it, in place of what it had. The delivery's signers
// sign it with the current time. WithMetadata panics if the body is not a JSON
// object, if metadata cannot be encoded as JSON, or if the delivery has a signature
// but no signers, as one that was read from a file has: call [Delivery.Sign] first.
func (d *Delivery) WithMetadata(metadata map[string]any) *Delivery {
	if len(d.signers) == 0 && d.Header.Get("webhook-signature") != "" {
		panic("webhooktest: WithMetadata: the delivery is signed, but its signers are not known: call Sign first")
	}
	value, err := json.Marshal(metadata)
	if err != nil {
		panic("webhooktest: WithMetadata: " + err.Error())
	}
	c := d.Clone()
	if c.Body, err = set(c.Body, "user_metadata", value); err != nil {
		panic("webhooktest: WithMetadata: the body is not a JSON object: " + err.Error())
	}
	return c.Sign(time.Now())
}

// set sets a member of a JSON object and keeps the order of the others.
func set(object []byte, name string, value json.RawMessage) ([]byte, error) {
	var others *map[string]json.RawMessage
	if err := json.Unmarshal(object, &others); err != nil || others == nil {
		return nil, cmp.Or(err, errors.New("it is null"))
	}
	names := json.NewDecoder(bytes.NewReader(object))
	_, err := names.Token() // the opening brace
	out := []byte{'{'}
	for err == nil && names.More() {
		var key json.Token
		var skipped json.RawMessage
		if key, err = names.Token(); err == nil {
			err = names.Decode(&skipped)
		}
		if key != name {
			out = append(member(out, fmt.Sprint(key), skipped), ',')
		}
	}
	return append(member(out, name, value), '}'), err
}

// member appends a name and a value.
func member(b []byte, name string, value json.RawMessage) []byte {
	text, _ := json.Marshal(name) // a string always has a JSON form
	return append(append(append(b, text...), ':'), value...)
}

// Post sends the delivery to the handler and returns the status of the response.
// The path is "/"; to test a router, use [Delivery.Request] or [Sender].
func Post(handler http.Handler, d *Delivery) int {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, d.Request("/"))
	return w.Code
}
