package geminihook

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ByJob is an [Endpoint.Key] that gives the end of a job the same key, whoever
// reports it: a static and a dynamic webhook, two webhooks of one project, or a
// program that asks the API itself and calls [Endpoint.Process]. The key is the
// event's type, a colon, and the last path segment of [Event.JobID].
//
// ByJob returns the default key for events that do not end a job (see
// [Event.EndsJob]), and if the segment is empty, longer than 256 bytes, or not
// visible ASCII. An endpoint that receives dynamic webhooks must set
// [Endpoint.Authorize]. Otherwise a stranger's event can take the key of one of
// your jobs.
func ByJob(_ context.Context, ev *Event) (string, error) {
	id := ev.JobID()
	segment := id[strings.LastIndexByte(id, '/')+1:]
	if !ev.EndsJob() || !validID(segment) {
		return defaultKey(ev)
	}
	return string(ev.Type) + ":" + segment, nil
}

// defaultKey includes the scheme, so that a dynamic delivery, which anyone can
// cause, never takes the key of a static one, even if their ids are equal. Events
// without an ID must not share a key.
func defaultKey(ev *Event) (string, error) {
	if ev.ID == "" {
		return "", errors.New("the event has no ID")
	}
	return ev.Proof.Scheme + ":" + ev.ID, nil
}

// storeKey returns the key of the event in the store. Its errors wrap
// ErrUnavailable.
func (e *Endpoint) storeKey(ctx context.Context, ev *Event) (string, error) {
	var key string
	var err error
	if e.Key != nil {
		key, err = e.Key(ctx, ev)
	} else {
		key, err = defaultKey(ev)
	}
	if err == nil && key == "" {
		err = errors.New("Endpoint.Key returned an empty key")
	}
	if err != nil {
		return "", fmt.Errorf("%w: no key for the event: %w", ErrUnavailable, err)
	}
	return key, nil
}
