package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"google.golang.org/genai"
)

// offline runs the program with a fake of the API, which loses the event that ends
// every third job and sends those of another third twice. It also reports jobs of
// another program.
func offline(ctx context.Context, out io.Writer, p *program) error {
	google := &fake{resources: map[string]any{}}
	api, stopAPI, err := listen("127.0.0.1:0", google)
	if err != nil {
		return err
	}
	defer stopAPI()
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: "none",
		HTTPOptions: genai.HTTPOptions{BaseURL: api},
	})
	if err != nil {
		return err
	}
	secret := webhooktest.RandomSecret()
	handler, catchUp, err := p.receiver(client, secret)
	if err != nil {
		return err
	}
	url, stop, err := listen("127.0.0.1:0", handler)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(out, "listening on %s/gemini\n", url)
	fmt.Fprintln(out, "GEMINI_API_KEY is not set: a fake of the API delivers instead of Google.")

	once, twice, err := p.startAll(ctx, out, google)
	if err != nil {
		return err
	}
	// Both begin now, so that many ends are reported by both at the same time.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	catchUp.Grace, catchUp.Interval, catchUp.PerSecond = 1, 200*time.Millisecond, 200
	swept := make(chan error, 1)
	go func() { swept <- p.sweep(ctx, catchUp) }()
	sender := &webhooktest.Sender{
		URL:        url + "/gemini",
		Signers:    []webhooktest.Signer{webhooktest.Static(secret)},
		FirstRetry: 100 * time.Millisecond,
		Duplicates: 1,
	}
	if err := deliver(ctx, sender, twice); err != nil {
		return err
	}
	sender.Duplicates = 0
	if err := deliver(ctx, sender, once); err != nil {
		return err
	}
	if err := <-swept; err != nil {
		return err
	}
	return p.print(ctx, out)
}

// startAll starts the tasks, and returns the events that are sent once and twice.
func (p *program) startAll(
	ctx context.Context, out io.Writer, google *fake,
) (once, twice []*webhooktest.Delivery, err error) {
	const count = 300
	lost, silent, actions, others := 0, 0, 0, 0
	for i := range count {
		j := newJob(i)
		create := func(context.Context) (string, error) { return google.create(j), nil }
		if err := p.start(ctx, fmt.Sprintf("task-%03d", i), j.kind, create); err != nil {
			return nil, nil, err
		}
		if j.action != nil {
			actions++
			once = append(once, webhooktest.NewBody(j.action))
		}
		switch {
		case j.end == nil:
			silent++
		case i%3 == 0:
			lost++
		case i%3 == 1:
			twice = append(twice, webhooktest.NewBody(j.end))
		default:
			once = append(once, webhooktest.NewBody(j.end))
		}
		if i%10 == 0 {
			others++
			body := fmt.Sprintf(`{"type":"batch.succeeded","data":{"id":"batches/other%d"}}`, i)
			once = append(once, webhooktest.NewBody([]byte(body)))
		}
	}
	fmt.Fprintf(out, "%d jobs: the ends of %d are lost, %d are sent twice, %d once; for %d ends, Google has no event\n",
		count, lost, len(twice), len(once)-actions-others, silent)
	fmt.Fprintf(out, "%d interactions need an action first; %d events are about the jobs of another program\n",
		actions, others)
	return once, twice, nil
}

// deliver returns an error unless all deliveries are acknowledged.
func deliver(
	ctx context.Context, sender *webhooktest.Sender, deliveries []*webhooktest.Delivery,
) error {
	report, err := sender.Deliver(ctx, deliveries...)
	if err != nil {
		return err
	}
	if len(report.Lost) > 0 {
		return fmt.Errorf("%d deliveries were not acknowledged", len(report.Lost))
	}
	return nil
}

// fake is a fake of the API methods that the program calls.
type fake struct {
	mu        sync.Mutex
	resources map[string]any // by path, without the version
}

// job is what the fake will create.
type job struct {
	kind     jobs.Kind
	id, path string
	resource map[string]any
	action   []byte // the event after which the job goes on, or nil
	end      []byte // the event that ends it, or nil if Google has none for this end
}

// newJob returns one of the jobs of a busy program. They have all ended when the
// program asks for the first time.
func newJob(i int) job {
	var j job
	var typ string
	switch i % 5 {
	case 0, 1:
		typ, j.kind = "batch.succeeded", jobs.KindBatch
		j.id = fmt.Sprintf("batches/b%03d", i)
		j.path = j.id
		j.resource = map[string]any{
			"name":     j.id,
			"metadata": map[string]any{"state": "BATCH_STATE_SUCCEEDED"},
		}
	case 2, 3:
		status := "completed"
		if i%15 == 2 {
			status = "incomplete" // for which Google has no event
		}
		typ, j.kind = "interaction."+status, jobs.KindInteraction
		j.id = fmt.Sprintf("v1_i%03d..", i)
		j.path = "interactions/" + j.id
		j.resource = map[string]any{"id": j.id, "status": status}
		j.action = newEvent("interaction.requires_action", j.id)
	default:
		typ, j.kind = "video.generated", jobs.KindVideo
		j.id = fmt.Sprintf("models/veo/operations/v%03d", i)
		j.path = j.id
		j.resource = map[string]any{"name": j.id, "done": true}
	}
	if typ != "interaction.incomplete" {
		j.end = newEvent(typ, j.id)
	}
	return j
}

func newEvent(typ, id string) []byte {
	return fmt.Appendf(nil, `{"type":%q,"version":"v1","data":{"id":%q}}`, typ, id)
}

func (f *fake) create(j job) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resources[j.path] = j.resource
	return j.id
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	resource := f.resources[strings.TrimPrefix(r.URL.Path, "/v1beta/")]
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if resource == nil {
		w.WriteHeader(http.StatusNotFound)
		resource = map[string]any{"error": map[string]any{"code": http.StatusNotFound, "status": "NOT_FOUND"}}
	}
	_ = json.NewEncoder(w).Encode(resource) // the client may have gone away
}
