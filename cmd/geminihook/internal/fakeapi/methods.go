package fakeapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pageSize is smaller than Google's, so that tests see more than one page.
const pageSize = 2

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, _ := strconv.Atoi(r.URL.Query().Get("page_token"))
	end := min(start+pageSize, len(s.hooks))
	page := map[string]any{}
	all := []*hook{}
	for _, h := range s.hooks[min(start, end):end] {
		all = append(all, s.find(h.ID))
	}
	page["webhooks"] = all
	if end < len(s.hooks) {
		page["next_page_token"] = strconv.Itoa(end)
	}
	reply(w, http.StatusOK, page)
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var in hook
	err := json.NewDecoder(r.Body).Decode(&in)
	if err != nil || in.URI == "" || len(in.Events) == 0 {
		refuse(w, http.StatusBadRequest, "uri and subscribed_events are required.", "")
		return
	}
	if bad(w, in.Events) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := newSecret()
	h := &hook{
		ID: s.newID(), Name: in.Name, URI: in.URI, State: "enabled", Events: in.Events,
		Secrets: []secret{fresh},
	}
	s.hooks = append(s.hooks, h)
	s.onCreate()
	out := *h
	out.New = fresh.whole
	reply(w, http.StatusOK, out)
}

// bad refuses what cannot be subscribed to.
func bad(w http.ResponseWriter, events []string) bool {
	for _, e := range events {
		if strings.HasSuffix(e, ".cancelled") || !strings.Contains(e, ".") {
			refuse(w, http.StatusBadRequest, "Invalid value at 'subscribed_events': "+e, "")
			return true
		}
	}
	return false
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.find(r.PathValue("id")); h != nil {
		reply(w, http.StatusOK, h)
		return
	}
	refuse(w, http.StatusNotFound, "Webhook not found.", "")
}

func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	var in hook
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "Invalid JSON.", "")
		return
	}
	if bad(w, in.Events) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.find(r.PathValue("id"))
	if h == nil {
		refuse(w, http.StatusNotFound, "Webhook not found.", "")
		return
	}
	mask := strings.Split(r.URL.Query().Get("update_mask"), ",")
	if slices.Contains(mask, "state") {
		h.State = in.State
	}
	if slices.Contains(mask, "subscribed_events") {
		h.Events = in.Events
	}
	reply(w, http.StatusOK, h)
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.hooks, func(h *hook) bool { return h.ID == r.PathValue("id") })
	if i < 0 {
		refuse(w, http.StatusNotFound, "Webhook not found.", "")
		return
	}
	s.hooks = slices.Delete(s.hooks, i, i+1)
	reply(w, http.StatusOK, struct{}{})
}

// rotate handles "webhook-1:rotateSigningSecret".
func (s *Server) rotate(w http.ResponseWriter, r *http.Request) {
	id, method, _ := strings.Cut(r.PathValue("call"), ":")
	var in struct {
		Behavior string `json:"revocation_behavior"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || method != "rotateSigningSecret" {
		refuse(w, http.StatusBadRequest, "Invalid call.", "")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.find(id)
	if h == nil {
		refuse(w, http.StatusNotFound, "Webhook not found.", "")
		return
	}
	if in.Behavior == "revoke_previous_secrets_immediately" {
		h.Secrets = nil
	}
	expires := s.clock().Add(24 * time.Hour).UTC().Truncate(time.Second)
	for i := range h.Secrets {
		if h.Secrets[i].Expires == nil {
			h.Secrets[i].Expires = &expires
		}
	}
	fresh := newSecret()
	h.Secrets = append([]secret{fresh}, h.Secrets...)
	reply(w, http.StatusOK, map[string]string{"secret": fresh.whole})
}
