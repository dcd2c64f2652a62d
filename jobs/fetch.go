// Package jobs gets what a Gemini webhook is about, and finds jobs that have ended
// without a webhook.
//
// An event has only a job's state and its id. [Fetch] gets the batch, the
// interaction or the video operation behind an event through the official SDK,
// google.golang.org/genai. [Results], [DownloadVideo] and [Result.OutputText] then
// get the responses, the video, or the text.
//
//	endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
//		result, err := jobs.Fetch(ctx, client, ev)
//		if err != nil {
//			return err // Permanent if the job does not exist; otherwise, Google delivers again
//		}
//		...
//	})
//
// Some jobs end without an event, and some events are lost. [CatchUp] asks the
// API about the jobs that the program still waits for, and hands those that have
// ended to the same function, through the same [geminihook.Endpoint], so that the
// end of each job is handled once, even if a webhook and the API both report it.
// [Table] remembers these jobs, and what each is for.
//
// All of it is for the Gemini API. Vertex AI has no webhooks.
package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook"
	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/interactions"
	"google.golang.org/genai/interactions/models/operations"
	"google.golang.org/genai/interactions/retry"
)

// requestTimeout bounds one request to the API.
const requestTimeout = 30 * time.Second

// Result is what an event is about, as the SDK's own type. Exactly one field is
// not nil.
type Result struct {
	Batch       *genai.BatchJob
	Interaction *interactions.Interaction
	Video       *genai.GenerateVideosOperation
}

// OutputText returns the text with which an interaction ended. It is empty if the
// interaction has none, and for a batch or a video.
func (r *Result) OutputText() string {
	if r.Interaction == nil {
		return ""
	}
	return text(r.Interaction.OutputText)
}

// Fetch gets the batch, the interaction or the video operation that an event is
// about. It accepts every form of id: "batches/abc" and "abc", "interactions/abc"
// and "abc", and the whole name of a video operation. The API does not accept the
// last part of a video operation's name alone. If an event has only that, Fetch
// makes no request, and the result has the name and the file that the event has.
//
// The error is made by [geminihook.Permanent] if the API does not know the job,
// or if the event is not about one. Any other error, such as for a status of 429 or
// 5xx or for the 404 of a proxy, is not Permanent: return it from the program's
// function, so that a redelivery or a queue tries again. Fetch itself makes one
// attempt, whatever the client's retry options, and takes at most 30 seconds. The
// text of an error holds no part of a result.
//
// In a run of the program's function that a [CatchUp] started, Fetch returns what
// CatchUp has just got, without another request.
func Fetch(ctx context.Context, client *genai.Client, ev *geminihook.Event) (*Result, error) {
	kind, err := kindOf(ev)
	if err != nil {
		return nil, err
	}
	name, err := nameOf(kind, ev.JobID())
	if errors.Is(err, errModel) {
		return fromEvent(ev)
	}
	if err != nil {
		return nil, err
	}
	known, _ := ctx.Value(fetchedKey{}).(fetched)
	if known.kind == kind && known.name == name {
		return known.result, nil
	}
	api, err := newAPIClient(client)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return api.get(ctx, kind, name)
}

// fetched is what CatchUp puts into the context of the program's function.
type fetched struct {
	kind   Kind
	name   string
	result *Result
}

type fetchedKey struct{}

// get makes one request. The context bounds it.
func (c *apiClient) get(ctx context.Context, kind Kind, name string) (r *Result, err error) {
	defer func() {
		if err = safe(err, recover()); err != nil {
			r, err = nil, requestFailed(c.config.APIKey, name, err)
			if notFound(err) {
				err = geminihook.Permanent(err)
			}
		}
	}()
	r = &Result{}
	switch kind {
	case KindBatch:
		config := &genai.GetBatchJobConfig{HTTPOptions: oneAttempt()}
		r.Batch, err = c.sdk.Batches.Get(ctx, name, config)
	case KindVideo:
		operation := &genai.GenerateVideosOperation{Name: name}
		config := &genai.GetOperationConfig{HTTPOptions: oneAttempt()}
		r.Video, err = c.sdk.Operations.GetVideosOperation(ctx, operation, config)
	case KindInteraction:
		var response *operations.GetInteractionByIDResponse
		response, err = c.sdk.Interactions.Get(ctx, operations.GetInteractionByIDRequest{ID: name},
			operations.WithRetries(retry.Config{Strategy: "none"}))
		if err == nil && response.Interaction == nil {
			err = errors.New("the response has no interaction")
		}
		if err == nil {
			r.Interaction = response.Interaction
		}
	}
	return r, err
}

// oneAttempt returns the options of a request that the SDK does not repeat: whoever
// waits for it decides when to ask again.
func oneAttempt() *genai.HTTPOptions {
	return &genai.HTTPOptions{RetryOptions: &genai.HTTPRetryOptions{Attempts: genai.Ptr(int32(1))}}
}

// safe turns what a deferred call recovered into an error. The SDK panics if a
// response does not have the types that it expects, and one such job must not end
// the process.
func safe(err error, recovered any) error {
	if recovered != nil {
		return fmt.Errorf("the SDK panicked: %v", recovered)
	}
	return err
}

// fromEvent returns the result that an event about a video has in itself, without a
// request.
func fromEvent(ev *geminihook.Event) (*Result, error) {
	data, _ := ev.Data.(*geminihook.VideoGenerated)
	uri := ""
	if data != nil {
		uri = cmp.Or(data.OutputFileURI, data.FileName)
	}
	if uri == "" {
		// Not a Permanent error: a CatchUp that knows the whole name can still
		// handle this end.
		return nil, fmt.Errorf("%w, and the event has no file: %q", errModel, ev.JobID())
	}
	return &Result{Video: &genai.GenerateVideosOperation{
		Name: data.ID, Done: true,
		Response: &genai.GenerateVideosResponse{
			GeneratedVideos: []*genai.GeneratedVideo{{Video: &genai.Video{URI: uri}}},
		},
	}}, nil
}
