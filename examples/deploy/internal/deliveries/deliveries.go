// Package deliveries tests the programs in this module, each with the same
// deliveries over HTTP: genuine ones, duplicates, forged and stale ones, and ones
// whose function fails.
package deliveries

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Receiver has what a program needs in a test: an endpoint that accepts static
// and dynamic webhooks, and a function that counts its runs.
type Receiver struct {
	Endpoint *geminihook.Endpoint

	static, dynamic webhooktest.Signer
	metadata        map[string]any

	mu      sync.Mutex
	runs    map[string]int // by Event.ID
	results map[string][]geminihook.Result
}

// New returns a [Receiver] whose secrets are fresh.
func New(t *testing.T) *Receiver {
	t.Helper()
	key := webhooktest.Key(1)
	keys := webhooktest.NewKeyServer(webhooktest.Public(key))
	t.Cleanup(keys.Close)
	secret := webhooktest.RandomSecret()
	hmac, err := geminihook.NewHMAC(secret)
	require.NoError(t, err)
	binding, err := geminihook.NewBinding(webhooktest.RandomSecret())
	require.NoError(t, err)
	r := &Receiver{
		static: webhooktest.Static(secret), dynamic: webhooktest.Dynamic(key),
		runs: map[string]int{}, results: map[string][]geminihook.Result{},
	}
	r.metadata, err = binding.Metadata("order-1042")
	require.NoError(t, err)
	r.Endpoint = &geminihook.Endpoint{
		Verifier:  geminihook.AnyOf(hmac, &geminihook.KeySet{URL: keys.URL}),
		Authorize: binding.Authorize,
		MaxBody:   maxBody,
		Observe: func(_ context.Context, o geminihook.Outcome) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.results[o.ID] = append(r.results[o.ID], o.Result)
		},
	}
	return r
}

// maxBody is small enough for net/http to read the rest of a body that is too
// large. Otherwise it might close the connection before the response is read.
const maxBody = 64 << 10

// The events that fail in their first attempt.
const (
	Fails  = geminihook.EventBatchFailed
	Panics = geminihook.EventInteractionFailed
)

// Handle is the program's function. It succeeds, except for the first attempt of
// an event whose type is [Fails] or [Panics].
func (r *Receiver) Handle(ctx context.Context, ev *geminihook.Event) error {
	if in, ok := geminihook.FromContext(ctx); !ok || in != ev {
		return errors.New("the event is not in the context")
	}
	r.mu.Lock()
	r.runs[ev.ID]++
	r.mu.Unlock()
	switch {
	case ev.Attempt == 1 && ev.Type == Fails:
		return errors.New("the first attempt fails")
	case ev.Attempt == 1 && ev.Type == Panics:
		panic("the first attempt panics")
	}
	return nil
}

// Static returns a delivery of a static webhook.
func (r *Receiver) Static(t geminihook.EventType) *webhooktest.Delivery {
	return webhooktest.New(t, r.static)
}

// Retry returns the next attempt of a static delivery.
func (r *Receiver) Retry(d *webhooktest.Delivery) *webhooktest.Delivery {
	return d.Clone().Sign(time.Now(), r.static)
}

// Runs returns how often the function has run for a delivery's event.
func (r *Receiver) Runs(d *webhooktest.Delivery) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runs[d.ID()]
}

// Results returns what the endpoint reported about a delivery.
func (r *Receiver) Results(d *webhooktest.Delivery) []geminihook.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results[d.ID()]
}

// Check sends all kinds of deliveries to url. Each must get its status, and have
// run the function as often as it should.
func (r *Receiver) Check(t *testing.T, url string) {
	t.Helper()
	r.CheckWith(t, http.DefaultClient, url)
}

// CheckWith is like [Receiver.Check] with the given client.
func (r *Receiver) CheckWith(t *testing.T, client *http.Client, url string) {
	t.Helper()
	genuine := r.Static(geminihook.EventBatchSucceeded)
	fails, panics := r.Static(Fails), r.Static(Panics)
	video := webhooktest.BodyWith(geminihook.EventVideoGenerated, r.metadata)
	dynamic := webhooktest.NewBody(video, r.dynamic)
	forger := webhooktest.Dynamic(webhooktest.Key(2))
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		status   int // NotAcknowledged for any but 2xx
		runs     int // of the function for this event, so far
	}{
		{"genuine", genuine, http.StatusOK, 1},
		{"duplicate", genuine, http.StatusOK, 1},
		{"retry after a success", r.Retry(genuine), http.StatusOK, 1},
		{
			"two signatures during a rotation",
			r.Static("new.type").Rotated(webhooktest.Static(webhooktest.RandomSecret()), r.static),
			http.StatusOK, 1,
		},
		{
			"forged", r.Static(geminihook.EventBatchSucceeded).WrongSecret(),
			http.StatusBadRequest, 0,
		},
		{
			"changed on its way", r.Static(geminihook.EventBatchSucceeded).Tampered(),
			http.StatusBadRequest, 0,
		},
		{"stale", r.Static(geminihook.EventBatchSucceeded).Stale(), http.StatusBadRequest, 0},
		{
			"too large", r.Static(geminihook.EventBatchSucceeded).Oversized(maxBody),
			http.StatusRequestEntityTooLarge, 0,
		},
		{"failing", fails, http.StatusInternalServerError, 1},
		{"retry after a failure", r.Retry(fails), http.StatusOK, 2},
		{"panicking", panics, NotAcknowledged, 1},
		{"retry after a panic", r.Retry(panics), http.StatusOK, 2},
		{"dynamic", dynamic, http.StatusOK, 1},
		{"dynamic duplicate", dynamic, http.StatusOK, 1},
		{
			"dynamic, but about a stranger's job",
			webhooktest.New(geminihook.EventVideoGenerated, r.dynamic), http.StatusForbidden, 0,
		},
		{
			"dynamic, but forged", webhooktest.New(geminihook.EventVideoGenerated, forger),
			http.StatusBadRequest, 0,
		},
	} {
		status := post(t, client, url, tt.delivery)
		if tt.status == NotAcknowledged {
			assert.False(t, status >= 200 && status <= 299, "%s: status %d", tt.name, status)
		} else {
			assert.Equal(t, tt.status, status, tt.name)
		}
		assert.Equal(t, tt.runs, r.Runs(tt.delivery), "%s: runs", tt.name)
	}
}

// NotAcknowledged stands for every status but 2xx, and for a connection that is
// closed without a response.
const NotAcknowledged = 0

// Post sends a delivery and returns the status of the response, or
// [NotAcknowledged] if there is none.
func Post(t *testing.T, url string, d *webhooktest.Delivery) int {
	t.Helper()
	return post(t, http.DefaultClient, url, d)
}

func post(t *testing.T, client *http.Client, url string, d *webhooktest.Delivery) int {
	t.Helper()
	req, err := d.ClientRequest(url)
	require.NoError(t, err)
	resp, err := client.Do(req.WithContext(t.Context()))
	if err != nil {
		return NotAcknowledged
	}
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
