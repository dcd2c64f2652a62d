// Package fakeapi is a fake of the part of the Gemini API that manages static
// webhooks, for tests.
package fakeapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// Key is the API key that a [Server] accepts.
const Key = "AIza-fake-api-key-0123456789"

// Server is the fake. It listens on a loopback port.
type Server struct {
	URL  string                 // for GOOGLE_GEMINI_BASE_URL
	Keys *webhooktest.KeyServer // publishes the keys of dynamic webhooks

	server *httptest.Server

	mu       sync.Mutex
	hooks    []*hook
	made     int
	clock    func() time.Time
	fails    []failure
	onCreate func()   // runs at each creation
	seen     []string // the requests, as "POST /v1beta/webhooks"
}

// hook is a static webhook. Its members are what the API calls them.
type hook struct {
	ID      string   `json:"id"`
	Name    string   `json:"name,omitempty"`
	URI     string   `json:"uri"`
	State   string   `json:"state"`
	Events  []string `json:"subscribed_events"`
	Secrets []secret `json:"signing_secrets"`
	New     string   `json:"new_signing_secret,omitempty"` // only in the response to its creation
}

type secret struct {
	Truncated string     `json:"truncated_secret"`
	Expires   *time.Time `json:"expire_time,omitempty"`
	whole     string
}

type failure struct {
	request string // the method and, after a space, a part of the path
	status  int
	body    string
}

// New starts a [Server]. Call [Server.Close] when finished with it.
func New() *Server {
	s := &Server{
		Keys: webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(0)),
			webhooktest.Public(webhooktest.Key(1))),
		clock: time.Now, onCreate: func() {},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1beta/webhooks", s.list)
	mux.HandleFunc("POST /v1beta/webhooks", s.create)
	mux.HandleFunc("GET /v1beta/webhooks/{id}", s.get)
	mux.HandleFunc("PATCH /v1beta/webhooks/{id}", s.update)
	mux.HandleFunc("DELETE /v1beta/webhooks/{id}", s.delete)
	mux.HandleFunc("POST /v1beta/webhooks/{call}", s.rotate)
	s.server = httptest.NewServer(s.guard(mux))
	s.URL = s.server.URL
	return s
}

// Close shuts the server down.
func (s *Server) Close() {
	s.server.Close()
	s.Keys.Close()
}

// SetClock makes the Date header of the responses, and the time at which secrets
// expire, come from now.
func (s *Server) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = now
}

// Fail makes the next request whose method and path begin and end as given, such
// as "POST :rotateSigningSecret", fail with the status and the body. A body that
// is not JSON is put into an error of the API as its message.
func (s *Server) Fail(request string, status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = append(s.fails, failure{request, status, body})
}

// OnCreate makes f run whenever a webhook is created.
func (s *Server) OnCreate(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCreate = f
}

// SetState sets the state of a webhook, such as "disabled_due_to_failed_deliveries".
func (s *Server) SetState(id, state string) { s.edit(id, func(h *hook) { h.State = state }) }

// SetURL sets the URL of a webhook.
func (s *Server) SetURL(id, uri string) { s.edit(id, func(h *hook) { h.URI = uri }) }

// SetEvents sets the subscribed events of a webhook.
func (s *Server) SetEvents(id string, events ...string) {
	s.edit(id, func(h *hook) { h.Events = events })
}

// IDs returns the ids of the webhooks.
func (s *Server) IDs() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hooks {
		ids = append(ids, h.ID)
	}
	return ids
}

// Secrets returns the valid secrets of a webhook, the newest first.
func (s *Server) Secrets(id string) (all []string) {
	s.edit(id, func(h *hook) {
		for _, one := range h.Secrets {
			all = append(all, one.whole)
		}
	})
	return all
}

// Requests returns the method and path, with the query, of each request so far.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Deliver delivers an event of the type as Google does, signed with every valid
// secret of the webhook, to url in place of the webhook's URL, as a tunnel does.
func (s *Server) Deliver(
	ctx context.Context, id string, t geminihook.EventType, url string,
) (status int, err error) {
	var signers []webhooktest.Signer
	for _, one := range s.Secrets(id) {
		signers = append(signers, webhooktest.Static(one))
	}
	req, err := webhooktest.New(t, signers...).ClientRequest(url)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// edit calls f with the webhook, without its expired secrets.
func (s *Server) edit(id string, f func(*hook)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.find(id); h != nil {
		f(h)
	}
}

// guard sets the Date, checks the key, and lets requests fail that are to fail.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		w.Header().Set("Date", s.clock().UTC().Format(http.TimeFormat))
		s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
		i := slices.IndexFunc(s.fails, func(f failure) bool {
			method, path, _ := strings.Cut(f.request, " ")
			return r.Method == method && strings.HasSuffix(r.URL.Path, path)
		})
		var f failure
		if i >= 0 {
			f = s.fails[i]
			s.fails = slices.Delete(s.fails, i, i+1)
		}
		s.mu.Unlock()
		switch {
		case i >= 0 && json.Valid([]byte(f.body)):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(f.status)
			_, _ = w.Write([]byte(f.body)) // the client may have gone away
		case i >= 0:
			refuse(w, f.status, f.body, "")
		case r.Header.Get("x-goog-api-key") == "":
			refuse(w, http.StatusForbidden, "Method doesn't allow unregistered callers.", "")
		case r.Header.Get("x-goog-api-key") != Key:
			refuse(w, http.StatusBadRequest, "API key not valid. Please pass a valid API key.", "API_KEY_INVALID")
		default:
			next.ServeHTTP(w, r)
		}
	})
}
