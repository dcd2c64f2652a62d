package jobs_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"google.golang.org/genai"
)

// handleEnd is what a program does when a job ends.
func handleEnd(client *genai.Client) func(context.Context, *geminihook.Event) error {
	return func(ctx context.Context, ev *geminihook.Event) error {
		result, err := jobs.Fetch(ctx, client, ev)
		if err != nil {
			return err // Permanent if the job does not exist; otherwise, try again
		}
		switch {
		case result.Interaction != nil:
			fmt.Println(result.Interaction.Status, result.OutputText())
		case result.Video != nil:
			return saveVideos(ctx, client, result.Video)
		case ev.Type == geminihook.EventBatchSucceeded:
			for response, err := range jobs.Results(ctx, client, result.Batch) {
				if err != nil {
					return err
				}
				if response.Error != nil { // this request failed
					fmt.Println(response.Key, response.Error.Message)
					continue
				}
				fmt.Println(response.Key, response.Content.Text())
			}
		}
		return nil
	}
}

func saveVideos(
	ctx context.Context, client *genai.Client, operation *genai.GenerateVideosOperation,
) error {
	if operation.Response == nil { // it failed: operation.Error says why
		return nil
	}
	for i, generated := range operation.Response.GeneratedVideos {
		file, err := os.Create(fmt.Sprintf("video-%d.mp4", i))
		if err != nil {
			return err
		}
		_, err = jobs.DownloadVideo(ctx, client, generated.Video, file)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newReceiver returns the two that report the end of a job to one function: the
// handler of webhooks, and the sweep.
func newReceiver(client *genai.Client, verifier geminihook.Verifier, store geminihook.Store,
	waiting func(context.Context) iter.Seq2[jobs.Job, error],
) (http.Handler, *jobs.CatchUp) {
	handle := handleEnd(client)
	endpoint := &geminihook.Endpoint{
		Verifier: verifier,
		Store:    store,
		Key:      geminihook.ByJob,
	}
	catchUp := &jobs.CatchUp{
		Client:   client,
		Endpoint: endpoint,
		Waiting:  waiting,
		Handle:   handle,
	}
	return endpoint.Handler(handle), catchUp
}

// newSweepServer returns a server for the scheduler alone: nobody else may be able to
// connect to its address.
func newSweepServer(catchUp *jobs.CatchUp) *http.Server {
	return &http.Server{
		Addr:              "127.0.0.1:8081",
		Handler:           catchUp,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      200 * time.Second, // longer than a sweep and its last runs
	}
}

func ExampleCatchUp_ServeHTTP() {
	client, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: fakeapi.Key,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	waiting := func(context.Context) iter.Seq2[jobs.Job, error] { // usually Table.Waiting
		return func(func(jobs.Job, error) bool) {}
	}
	_, catchUp := newReceiver(client, &geminihook.HMAC{}, &geminihook.MemoryStore{}, waiting)
	catchUp.Logger = slog.New(slog.DiscardHandler)
	server := newSweepServer(catchUp) // usually: server.ListenAndServe()
	w := httptest.NewRecorder()
	server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 application/json
}

// The webhooks of two jobs got lost: the batch has an event that did not arrive,
// and the interaction ended in a way for which there is none.
func ExampleCatchUp() {
	api := &fakeapi.API{}
	api.SetFile("files/out", `{"key":"sky","response":{"candidates":[{"content":{"parts":[{"text":"It scatters blue light."}]}}]}}`)
	api.Set("batches/abc", fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED", "output",
		map[string]any{"responsesFile": "files/out"}))
	api.Set("interactions/v1_abc..",
		fakeapi.Interaction("v1_abc..", "incomplete", "The first half"))
	server := httptest.NewServer(api)
	defer server.Close()
	ctx := context.Background()
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: fakeapi.Key, HTTPOptions: genai.HTTPOptions{BaseURL: server.URL},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	created := time.Now().Add(-time.Hour)
	waiting := func(context.Context) iter.Seq2[jobs.Job, error] { // usually read from a table
		return func(yield func(jobs.Job, error) bool) {
			_ = yield(jobs.Job{ID: "batches/abc", Kind: jobs.KindBatch, Created: created}, nil) &&
				yield(jobs.Job{ID: "v1_abc..", Kind: jobs.KindInteraction, Created: created}, nil)
		}
	}
	_, catchUp := newReceiver(client, &geminihook.HMAC{}, &geminihook.MemoryStore{}, waiting)
	catchUp.Endpoint.Logger = slog.New(slog.DiscardHandler)
	catchUp.Logger = catchUp.Endpoint.Logger
	catchUp.Concurrency = 1
	for range 2 {
		summary, err := catchUp.Sweep(ctx) // usually: go catchUp.Run(ctx)
		fmt.Println(summary.Handled, "handled,", summary.Duplicate, "handled before,", err)
	}
	// Output:
	// sky It scatters blue light.
	// incomplete The first half
	// 2 handled, 0 handled before, <nil>
	// 0 handled, 2 handled before, <nil>
}
