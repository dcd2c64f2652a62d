package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/riverqueue/river"
	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/apierrors"
	"google.golang.org/genai/interactions/models/operations"
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
	j := job{WebhookID: ev.ID, Type: ev.Type}
	switch data := ev.Data.(type) {
	case *geminihook.BatchSucceeded:
		j.ID, j.FileURI = data.ID, data.OutputFileURI
	case *geminihook.BatchFailed:
		j.ID, j.Failure = data.ID, data.ErrorMessage
	case *geminihook.BatchExpired:
		j.ID = data.ID
	case *geminihook.BatchCancelled:
		j.ID = data.ID
	case *geminihook.InteractionRequiresAction:
		j.ID = data.ID
	case *geminihook.InteractionCompleted:
		j.ID = data.ID
	case *geminihook.InteractionFailed:
		j.ID, j.Failure = data.ID, data.ErrorMessage
	case *geminihook.InteractionCancelled:
		j.ID = data.ID
	case *geminihook.VideoGenerated:
		j.ID, j.FileURI = data.ID, data.OutputFileURI
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
	if err != nil {
		if gone(err) {
			return river.JobCancel(err)
		}
		return err
	}
	return river.RecordOutput(ctx, r)
}

// fetch asks the API about what the job is about.
func (w *worker) fetch(ctx context.Context, j job) (result, error) {
	switch j.Type {
	case geminihook.EventBatchSucceeded:
		batch, err := w.client.Batches.Get(ctx, named("batches/", j.ID), nil)
		if err != nil {
			return result{}, err
		}
		r := result{What: batch.Name, State: string(batch.State), File: j.FileURI}
		if batch.Dest != nil && batch.Dest.FileName != "" {
			r.File = batch.Dest.FileName // what client.Files.Download takes
		}
		return r, nil
	case geminihook.EventInteractionCompleted, geminihook.EventInteractionRequiresAction:
		response, err := w.client.Interactions.Get(ctx, operations.GetInteractionByIDRequest{ID: j.ID})
		if err != nil {
			return result{}, err
		}
		if response.Interaction == nil {
			return result{}, fmt.Errorf("the response for %s has no interaction", j.ID)
		}
		return result{What: j.ID, State: string(response.Interaction.Status)}, nil
	}
	// The event of a video has the URI of its file. For all other types there
	// is nothing to fetch.
	return result{What: j.ID, State: strings.TrimSpace(string(j.Type) + " " + j.Failure), File: j.FileURI}, nil
}

// named returns the id as a resource name. Whether the id of an event begins with
// the collection is not documented, so both forms are accepted.
func named(collection, id string) string {
	if strings.HasPrefix(id, collection) {
		return id
	}
	return collection + id
}

// gone reports whether the API said that the result does not exist.
func gone(err error) bool {
	status := 0
	if e, ok := errors.AsType[genai.APIError](err); ok {
		status = e.Code
	}
	if e, ok := errors.AsType[*apierrors.GetInteractionByIDClientError](err); ok && e.HTTPMeta.Response != nil {
		status = e.HTTPMeta.Response.StatusCode
	}
	return status == http.StatusNotFound || status == http.StatusBadRequest
}
