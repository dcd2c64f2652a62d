package jobs

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/geminihook/geminihook"
	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/interactions"
)

// SchemeAPI is the Scheme of the [geminihook.Proof] in an event that [CatchUp]
// made: the API itself said that the job has ended.
const SchemeAPI = "api"

// phase is how far a job has come.
type phase int

const (
	running     phase = iota + 1
	needsAction       // it waits for the program, and goes on after that
	ended
)

// state is what the API says about a job.
type state struct {
	phase phase
	typ   geminihook.EventType // empty unless the job has ended
	data  eventData
	at    time.Time // when it ended; zero if the API does not say
}

// eventData is the "data" of an event as Google's page has it.
type eventData struct {
	ID            string `json:"id"`
	OutputFileURI string `json:"output_file_uri,omitempty"`
	ErrorCode     string `json:"error_code,omitempty"`
	ErrorMessage  string `json:"error_message,omitempty"`
}

// stateOf reads the state of the job with the given name. A state that this
// package does not know is an error: it could be the end.
func stateOf(name string, r *Result) (state, error) {
	switch {
	case r.Batch != nil:
		return batchState(name, r.Batch)
	case r.Interaction != nil:
		return interactionState(name, r.Interaction)
	}
	return videoState(name, r.Video), nil
}

func batchState(name string, b *genai.BatchJob) (state, error) {
	s := state{phase: ended, at: b.EndTime, data: eventData{ID: name}}
	switch b.State {
	case genai.JobStateSucceeded, genai.JobStatePartiallySucceeded:
		s.typ = geminihook.EventBatchSucceeded
		if b.Dest != nil {
			s.data.OutputFileURI = b.Dest.FileName
		}
	case genai.JobStateFailed:
		s.typ = geminihook.EventBatchFailed
		if b.Error != nil {
			s.data.ErrorMessage = b.Error.Message
			if b.Error.Code != nil {
				s.data.ErrorCode = strconv.Itoa(int(*b.Error.Code))
			}
		}
	case genai.JobStateCancelled:
		s.typ = geminihook.EventBatchCancelled
	case genai.JobStateExpired:
		s.typ = geminihook.EventBatchExpired
	case genai.JobStateQueued, genai.JobStatePending, genai.JobStateRunning,
		genai.JobStateCancelling, genai.JobStatePaused, genai.JobStateUpdating:
		return state{phase: running}, nil
	default:
		return state{}, unknownState(name, string(b.State))
	}
	return s, nil
}

// interactionState knows more ends than webhooks report. The event type of each
// consists of "interaction." and the status.
func interactionState(name string, i *interactions.Interaction) (state, error) {
	switch i.Status {
	case interactions.InteractionStatusQueued, interactions.InteractionStatusInProgress:
		return state{phase: running}, nil
	case interactions.InteractionStatusRequiresAction,
		interactions.InteractionStatusRequiresContinuation:
		return state{phase: needsAction}, nil
	case interactions.InteractionStatusCompleted, interactions.InteractionStatusFailed,
		interactions.InteractionStatusCancelled, interactions.InteractionStatusIncomplete,
		interactions.InteractionStatusBudgetExceeded:
	default:
		return state{}, unknownState(name, string(i.Status))
	}
	s := state{
		phase: ended,
		typ:   geminihook.EventType("interaction." + string(i.Status)),
		data:  eventData{ID: name},
	}
	if i.Updated != nil {
		s.at, _ = time.Parse(time.RFC3339, *i.Updated)
	}
	if i.Status == interactions.InteractionStatusFailed && len(i.Errors) > 0 {
		s.data.ErrorCode, s.data.ErrorMessage = text(i.Errors[0].Code), text(i.Errors[0].Message)
	}
	return s, nil
}

// videoState knows the operation that failed, which no webhook reports.
func videoState(name string, v *genai.GenerateVideosOperation) state {
	if !v.Done {
		return state{phase: running}
	}
	s := state{phase: ended, typ: geminihook.EventVideoGenerated, data: eventData{ID: name}}
	if v.Error != nil {
		s.typ = geminihook.EventVideoFailed
		if code, ok := v.Error["code"].(float64); ok {
			s.data.ErrorCode = strconv.FormatFloat(code, 'f', -1, 64)
		}
		s.data.ErrorMessage, _ = v.Error["message"].(string)
	}
	if v.Response == nil || len(v.Response.GeneratedVideos) == 0 {
		return s
	}
	if video := v.Response.GeneratedVideos[0].Video; video != nil {
		s.data.OutputFileURI = video.URI
	}
	return s
}

func unknownState(name, s string) error {
	return fmt.Errorf("jobs: %s: unknown state %q", name, firstWords(s))
}

// event returns the event that a webhook would have delivered, decoded from the
// same JSON, so that it has the same key in the store, data of the same type, and a
// Raw. The ID consists of the type and the job's id, so that it is the same in each
// sweep of each instance.
func (s state) event() (*geminihook.Event, error) {
	body := struct {
		Type      geminihook.EventType `json:"type"`
		Version   string               `json:"version"`
		Timestamp *time.Time           `json:"timestamp,omitempty"`
		Data      eventData            `json:"data"`
	}{Type: s.typ, Version: "v1", Data: s.data}
	if !s.at.IsZero() {
		body.Timestamp = &s.at
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ev, err := geminihook.ParseUnverified(raw)
	if err != nil {
		return nil, err
	}
	ev.ID = string(s.typ) + ":" + url.PathEscape(lastSegment(s.data.ID))
	ev.Proof.Scheme = SchemeAPI
	return ev, nil
}
