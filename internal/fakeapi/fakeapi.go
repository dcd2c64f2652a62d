// Package fakeapi is a fake of the part of the Gemini API that the module jobs
// calls. It responds as the API's documentation says: states are strings, lists
// have pages, and errors have the form of their part of the API.
package fakeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Key is the API key that the fake accepts.
const Key = "fake-key"

// API is a fake of the API. The zero API knows no job.
type API struct {
	// Intercept, if not nil, sees each request first, and returns true if it has
	// responded.
	Intercept func(w http.ResponseWriter, r *http.Request) bool

	mu        sync.Mutex
	resources map[string]any // by name, such as "batches/abc"
	batches   []string       // in the order in which they were set
	files     map[string]string
	requests  int
	now, most int // requests at the same time
}

// Set sets the JSON of a job by its name: "batches/...", "interactions/..." or
// "models/.../operations/...".
func (a *API) Set(name string, resource any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.resources == nil {
		a.resources = map[string]any{}
	}
	if a.resources[name] == nil && strings.HasPrefix(name, "batches/") {
		a.batches = append(a.batches, name)
	}
	a.resources[name] = resource
}

// SetFile sets the content of a file by its name, "files/...".
func (a *API) SetFile(name, content string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		a.files = map[string]string{}
	}
	a.files[name] = content
}

// Requests returns how many requests there were, and the highest number of them
// that were under way at the same time.
func (a *API) Requests() (total, atOnce int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests, a.most
}

// Batch is a batch in a state such as "BATCH_STATE_RUNNING". More members of its
// metadata follow as pairs of name and value.
func Batch(name, state string, more ...any) map[string]any {
	metadata := map[string]any{"state": state}
	for pair := range slices.Chunk(more, 2) {
		metadata[pair[0].(string)] = pair[1]
	}
	return map[string]any{"name": name, "metadata": metadata}
}

// Interaction is an interaction with a status such as "completed" and a text.
func Interaction(id, status, text string) map[string]any {
	i := map[string]any{"id": id, "status": status, "created": "2026-11-24T10:00:00Z", "updated": "2026-11-24T10:30:00Z"}
	if text != "" {
		content := []any{map[string]any{"type": "text", "text": text}}
		i["steps"] = []any{map[string]any{"type": "model_output", "content": content}}
	}
	return i
}

// Video is an operation that has generated a video, or is still running if the URI
// is empty.
func Video(name, uri string) map[string]any {
	if uri == "" {
		return map[string]any{"name": name}
	}
	samples := []any{map[string]any{"video": map[string]any{"uri": uri}}}
	response := map[string]any{"generatedSamples": samples}
	return map[string]any{
		"name":     name,
		"done":     true,
		"response": map[string]any{"generateVideoResponse": response},
	}
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.enter(1)
	defer a.enter(-1)
	name := strings.TrimPrefix(r.URL.Path, "/v1beta/")
	switch {
	case a.Intercept != nil && a.Intercept(w, r):
	case r.Method != http.MethodGet:
		Fail(w, r, http.StatusMethodNotAllowed)
	case r.Header.Get("x-goog-api-key") != Key:
		Fail(w, r, http.StatusBadRequest)
	case name == "batches":
		a.list(w, r)
	case strings.HasPrefix(name, "files/"):
		a.download(w, r, strings.TrimSuffix(name, ":download"))
	default:
		a.mu.Lock()
		resource := a.resources[name]
		a.mu.Unlock()
		if resource == nil {
			Fail(w, r, http.StatusNotFound)
			return
		}
		reply(w, resource)
	}
}

func (a *API) enter(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests += max(n, 0)
	a.now += n
	a.most = max(a.most, a.now)
}

// list responds with a page of batches. Its token is the index of the next one.
func (a *API) list(w http.ResponseWriter, r *http.Request) {
	size, _ := strconv.Atoi(r.FormValue("pageSize"))
	from, err := strconv.Atoi("0" + r.FormValue("pageToken"))
	a.mu.Lock()
	defer a.mu.Unlock()
	if size <= 0 || err != nil || from > len(a.batches) {
		Fail(w, r, http.StatusBadRequest)
		return
	}
	to := min(from+size, len(a.batches))
	page := map[string]any{}
	var operations []any
	for _, name := range a.batches[from:to] {
		operations = append(operations, a.resources[name])
	}
	page["operations"] = operations
	if to < len(a.batches) {
		page["nextPageToken"] = strconv.Itoa(to)
	}
	reply(w, page)
}

func (a *API) download(w http.ResponseWriter, r *http.Request, name string) {
	a.mu.Lock()
	content, ok := a.files[name]
	a.mu.Unlock()
	if !ok || r.FormValue("alt") != "media" {
		Fail(w, r, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write([]byte(content)) // the client may have gone away
}

// Fail responds with an error as the API does. The code in an error of an
// interaction is a string.
func Fail(w http.ResponseWriter, r *http.Request, status int) {
	names := map[int]string{
		http.StatusBadRequest:          "INVALID_ARGUMENT",
		http.StatusForbidden:           "PERMISSION_DENIED",
		http.StatusNotFound:            "NOT_FOUND",
		http.StatusTooManyRequests:     "RESOURCE_EXHAUSTED",
		http.StatusInternalServerError: "INTERNAL",
		http.StatusServiceUnavailable:  "UNAVAILABLE",
	}
	failure := map[string]any{
		"code":    status,
		"message": fmt.Sprintf("the fake says %d", status),
		"status":  names[status],
	}
	if strings.Contains(r.URL.Path, "/interactions/") {
		failure = map[string]any{"code": strings.ToLower(names[status]), "message": failure["message"]}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": failure}) // the client may have gone away
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}
