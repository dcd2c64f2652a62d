package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/riverqueue/river"
	"google.golang.org/genai"
)

// job is what a worker needs to know about an event. Events carry pointers, not
// results, so a job does as well.
type job struct {
	WebhookID string               `json:"webhook_id"`
	Type      geminihook.EventType `json:"type"`
	ID        string               `json:"id"`
	FileURI   string               `json:"file_uri,omitempty"`
	Failure   string               `json:"failure,omitempty"`
}

// Kind implements [river.JobArgs].
func (job) Kind() string { return "gemini_result" }

// jobFor returns the job for an event.
func jobFor(ev *geminihook.Event) job {
	j := job{WebhookID: ev.ID, Type: ev.Type, ID: ev.JobID()}
	switch data := ev.Data.(type) {
	case *geminihook.BatchSucceeded:
		j.FileURI = data.OutputFileURI
	case *geminihook.BatchFailed:
		j.Failure = data.ErrorMessage
	case *geminihook.InteractionFailed:
		j.Failure = data.ErrorMessage
	case *geminihook.VideoGenerated:
		j.FileURI = data.OutputFileURI
	}
	return j
}

// result is the output of a job. River stores it with the job.
type result struct {
	What  string `json:"what"`
	State string `json:"state,omitempty"`
	File  string `json:"file,omitempty"`
}

// worker fetches the result that an event points to.
type worker struct {
	river.WorkerDefaults[job]
	client *genai.Client
}

// Work implements [river.Worker]. After an error, River runs the job again. If
// the result does not exist, no further attempt can help, and the job is
// cancelled; after too many errors, it is discarded.
func (w *worker) Work(ctx context.Context, row *river.Job[job]) error {
	r, err := w.fetch(ctx, row.Args)
	if errors.Is(err, geminihook.ErrPermanent) {
		return river.JobCancel(err)
	}
	if err != nil {
		return err
	}
	return river.RecordOutput(ctx, r)
}

// fetch asks the API about what the job is about.
func (w *worker) fetch(ctx context.Context, j job) (result, error) {
	switch j.Type {
	case geminihook.EventBatchSucceeded, geminihook.EventInteractionCompleted,
		geminihook.EventInteractionRequiresAction:
	default:
		// The event of a video has the URI of its file. For all other types
		// there is nothing to fetch.
		state := strings.TrimSpace(string(j.Type) + " " + j.Failure)
		return result{What: j.ID, State: state, File: j.FileURI}, nil
	}
	ev, err := j.event()
	if err != nil {
		return result{}, err
	}
	fetched, err := jobs.Fetch(ctx, w.client, ev)
	if err != nil {
		return result{}, err
	}
	if fetched.Interaction != nil {
		return result{What: j.ID, State: string(fetched.Interaction.Status)}, nil
	}
	r := result{What: fetched.Batch.Name, State: string(fetched.Batch.State), File: j.FileURI}
	if dest := fetched.Batch.Dest; dest != nil && dest.FileName != "" {
		r.File = dest.FileName // jobs.Results reads it
	}
	return r, nil
}

// event returns the event as far as the job has it.
func (j job) event() (*geminihook.Event, error) {
	body, err := json.Marshal(map[string]any{"type": j.Type, "data": map[string]string{"id": j.ID}})
	if err != nil {
		return nil, err
	}
	return geminihook.ParseUnverified(body)
}
