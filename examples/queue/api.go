package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/genai"
)

// newClient returns a client of the official SDK. Without a key, it talks to a
// fake of the API, which runs until stop is called.
func newClient(
	ctx context.Context, key string, delay time.Duration,
) (client *genai.Client, stop func(), err error) {
	config := &genai.ClientConfig{Backend: genai.BackendGeminiAPI, APIKey: cmp.Or(key, "none")}
	stop = func() {}
	if key == "" {
		url, stopFake, err := listen("127.0.0.1:0", &fake{delay: delay})
		if err != nil {
			return nil, nil, err
		}
		config.HTTPOptions.BaseURL = url
		stop = func() { _ = stopFake() }
	}
	if client, err = genai.NewClient(ctx, config); err != nil {
		stop()
	}
	return client, stop, err
}

// fake is a fake of the few API methods that this program calls. It knows every
// id except those that contain "missing". It always fails for an id that
// contains "broken", and fails once for every fifth of the other ids.
type fake struct {
	delay time.Duration

	mu    sync.Mutex
	asked map[string]int // how often the client has asked for an id
	ids   int            // the number of ids in asked
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(f.delay):
	case <-r.Context().Done():
		return
	}
	_, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // without the version
	switch status := f.status(id); {
	case status != http.StatusOK:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		var code any = status
		if strings.HasPrefix(id, "interactions/") {
			code = http.StatusText(status) // this API has strings here
		}
		reply(w, map[string]any{"error": map[string]any{"code": code, "message": "from the fake"}})
	case strings.HasPrefix(id, "batches/"):
		reply(w, map[string]any{"name": id, "metadata": map[string]any{"state": "BATCH_STATE_SUCCEEDED"}})
	default:
		w.Header().Set("Content-Type", "application/json")
		reply(w, map[string]any{"id": id, "status": "completed"})
	}
}

func (f *fake) status(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = make(map[string]int)
	}
	f.asked[id]++
	isNew := f.asked[id] == 1
	if isNew {
		f.ids++
	}
	switch {
	case strings.Contains(id, "missing"):
		return http.StatusNotFound
	case strings.Contains(id, "broken"), isNew && f.ids%5 == 1:
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func reply(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}
