package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"google.golang.org/genai"
)

// offline runs the program with a fake of the API, and then makes deliveries that
// the program must tell apart.
func offline(ctx context.Context, out io.Writer, binding *geminihook.Binding) error {
	keys := webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(0)),
		webhooktest.Public(webhooktest.Key(1)))
	defer keys.Close()
	r := newReceiver(&geminihook.KeySet{URL: keys.URL}, binding)
	url, stop, err := listen("127.0.0.1:0", r.routes())
	if err != nil {
		return err
	}
	defer stop()
	google := &fake{key: webhooktest.Key(1)}
	api, stopAPI, err := listen("127.0.0.1:0", google.routes())
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
	fmt.Fprintf(out, "listening on %s/gemini\n", url)
	fmt.Fprintln(out, "GEMINI_API_KEY is not set: a fake of the API delivers instead of Google.")
	p := &program{
		out: out, client: client, receiver: r, binding: binding, url: url,
		wait: 10 * time.Second,
	}
	if err := p.play(ctx); err != nil {
		return err
	}
	if err := google.failed(); err != nil {
		return err
	}
	return strangers(out, binding, google, url)
}

// strangers makes genuinely signed deliveries about jobs of other programs, and
// one that is bound by its URL instead of its metadata.
func strangers(out io.Writer, binding *geminihook.Binding, google *fake, url string) error {
	token, err := binding.Token("order-1043")
	if err != nil {
		return err
	}
	theirs := webhooktest.BodyWith(geminihook.EventVideoGenerated, map[string]any{"their": "job"})
	for _, d := range []struct {
		what, path string
		want       int
	}{
		{"somebody else's job, genuinely signed", "/gemini", 403},
		{"a job bound by the token in its URL", "/gemini/" + token, 200},
		{"somebody else's job, with a guessed URL", "/gemini/" + token[1:], 404},
	} {
		status, err := google.deliver(url+d.path, theirs, webhooktest.Dynamic(google.key))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-42s %d\n", d.what, status)
		if status != d.want {
			return fmt.Errorf("%s: the response was %d, not %d", d.what, status, d.want)
		}
	}
	return nil
}

// fake is a fake of the few API methods that the program calls. It delivers
// webhooks the way Google does, to the URL and with the metadata in the requests.
type fake struct {
	key ed25519.PrivateKey

	mu      sync.Mutex
	uri     string
	secrets []string // the newest is first
	err     error
}

func (f *fake) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{version}/webhooks", f.create)
	mux.HandleFunc("POST /{version}/webhooks/{call}", f.call)
	mux.HandleFunc("DELETE /{version}/webhooks/{id}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, struct{}{})
	})
	mux.HandleFunc("POST /{version}/models/{call}", f.batch)
	return mux
}

func (f *fake) create(w http.ResponseWriter, r *http.Request) {
	var in struct{ URI string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.URI == "" {
		http.Error(w, "no uri", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uri, f.secrets = in.URI, []string{webhooktest.RandomSecret()}
	reply(w, map[string]any{"id": "webhook_1", "uri": f.uri, "new_signing_secret": f.secrets[0]})
}

// call handles the custom methods, "webhook_1:ping" and
// "webhook_1:rotateSigningSecret".
func (f *fake) call(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasSuffix(r.PathValue("call"), ":rotateSigningSecret") {
		f.secrets = append([]string{webhooktest.RandomSecret()}, f.secrets...)
		reply(w, map[string]any{"secret": f.secrets[0]})
		return
	}
	signers := make([]webhooktest.Signer, len(f.secrets)) // one entry per valid secret
	for i, s := range f.secrets {
		signers[i] = webhooktest.Static(s)
	}
	go f.event(f.uri, []byte(`{"type":"ping","version":"v1","data":{}}`), signers...)
	reply(w, struct{}{})
}

// batch reads the webhook_config of a new batch and delivers that it succeeded.
func (f *fake) batch(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Batch struct {
			WebhookConfig struct {
				URIs         []string       `json:"uris"`
				UserMetadata map[string]any `json:"userMetadata"`
			} `json:"webhookConfig"`
		} `json:"batch"`
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	config := in.Batch.WebhookConfig
	if err != nil || len(config.URIs) != 1 || config.UserMetadata == nil {
		http.Error(w, "no webhook_config", http.StatusBadRequest)
		return
	}
	go f.event(config.URIs[0], webhooktest.BodyWith(geminihook.EventBatchSucceeded,
		config.UserMetadata), webhooktest.Dynamic(f.key))
	reply(w, map[string]any{"name": "batches/123456", "metadata": map[string]any{"state": "BATCH_STATE_PENDING"}})
}

func (f *fake) event(uri string, body []byte, signers ...webhooktest.Signer) {
	status, err := f.deliver(uri, body, signers...)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the response to a delivery was %d", status)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

func (f *fake) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fake) deliver(
	url string, body []byte, signers ...webhooktest.Signer,
) (status int, err error) {
	req, err := webhooktest.NewBody(body, signers...).ClientRequest(url)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}
