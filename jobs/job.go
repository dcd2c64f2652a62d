package jobs

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// Kind is the kind of a job. Its text can be stored in a table.
type Kind string

// The kinds of jobs that Gemini reports on.
const (
	KindBatch       Kind = "batch"       // a batch of requests
	KindInteraction Kind = "interaction" // a background interaction, such as that of an agent
	KindVideo       Kind = "video"       // an operation that generates a video
)

// Job is a job that the program waits for.
type Job struct {
	// ID is the id that the API returned when the job was created: the Name of a
	// batch or of a video operation, or the ID of an interaction. A batch and an
	// interaction may lack the collection ("batches/"). A video operation must
	// have its whole name, "models/.../operations/...", because the API has no
	// other way to get it.
	ID string
	// Kind says what the ID names.
	Kind Kind
	// Created is when the job was created, by the program's clock or by the
	// API's. Zero means long ago.
	Created time.Time
}

// kindOf returns the kind of the job that an event is about. The first word of the
// event type is the kind, even of types that this package does not know. If it is
// not, the form of the id decides.
func kindOf(ev *geminihook.Event) (Kind, error) {
	prefix, _, _ := strings.Cut(string(ev.Type), ".")
	switch kind := Kind(prefix); kind {
	case KindBatch, KindInteraction, KindVideo:
		return kind, nil
	}
	switch id := ev.JobID(); {
	case strings.HasPrefix(id, "batches/"):
		return KindBatch, nil
	case strings.HasPrefix(id, "interactions/"):
		return KindInteraction, nil
	case strings.Contains(id, "/operations/"):
		return KindVideo, nil
	}
	return "", geminihook.Permanent(fmt.Errorf("jobs: an event of type %q is not about a batch, an interaction or a video",
		ev.Type))
}

// errModel means that only the program that created a video operation can know
// its whole name.
var errModel = errors.New("jobs: the id of the video operation does not name its model")

// nameOf returns the name by which the API knows a job, whatever the form
// of its id.
func nameOf(kind Kind, id string) (string, error) {
	last := lastSegment(id)
	if !validSegment(last) {
		return "", geminihook.Permanent(fmt.Errorf("jobs: %q is not the id of a job", id))
	}
	switch kind {
	case KindBatch:
		return "batches/" + last, nil
	case KindInteraction:
		return last, nil
	case KindVideo:
		name := strings.TrimPrefix(id, "/")
		for segment := range strings.SplitSeq(name, "/") {
			if !validSegment(segment) {
				return "", geminihook.Permanent(fmt.Errorf("jobs: %q is not the id of a job", id))
			}
		}
		if !strings.Contains(name, "/operations/") {
			return "", errModel
		}
		return name, nil
	}
	return "", geminihook.Permanent(fmt.Errorf("jobs: %q is not a kind of job", kind))
}

func lastSegment(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// validSegment reports whether s can be a segment of a URL's path and nothing
// else: an id that comes from an event must not lead the request, which carries the
// program's key, to another method of the API.
func validSegment(s string) bool {
	return s != "" && s != "." && s != ".." && url.PathEscape(s) == s &&
		!strings.ContainsRune(s, ':')
}
