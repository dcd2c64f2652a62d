package geminihook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestConfiguration: a mistake shows when the program starts. Receive and Process
// return it.
func TestConfiguration(t *testing.T) {
	verifier := newVerifier(t)
	transactor := scriptedTransactor(committing)
	for _, tt := range []struct {
		name     string
		endpoint *geminihook.Endpoint
		want     string // empty if the endpoint is usable
	}{
		{"zero values", &geminihook.Endpoint{}, ""},
		{"Store and Transactor", &geminihook.Endpoint{Store: &geminihook.MemoryStore{}, Transactor: transactor}, "set one of them"},
		{"Transactor", &geminihook.Endpoint{Transactor: transactor}, ""},
		{"Keep of a second", &geminihook.Endpoint{Keep: time.Second}, "Endpoint.Keep is 1s, less than 10m0s"},
		{"Keep below 10 minutes", &geminihook.Endpoint{Keep: 10*time.Minute - 1}, "could be replayed"},
		{"Keep of 10 minutes", &geminihook.Endpoint{Keep: 10 * time.Minute}, ""},
		{"negative Keep", &geminihook.Endpoint{Keep: -1}, "negative"},
		{"negative Lease", &geminihook.Endpoint{Lease: -time.Minute}, "negative"},
		{"negative RunTimeout", &geminihook.Endpoint{RunTimeout: -1}, "negative"},
		{"negative MaxBody", &geminihook.Endpoint{MaxBody: -1}, "negative"},
		{"negative ReadTimeout", &geminihook.Endpoint{ReadTimeout: -1}, "negative"},
		{"negative StoreTimeout", &geminihook.Endpoint{StoreTimeout: -1}, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := tt.endpoint
			e.Verifier = verifier
			observe(t, e)
			start := map[string]func(){
				"Handler":    func() { e.Handler(succeed) },
				"Middleware": func() { e.Middleware(http.NotFoundHandler()) },
			}
			ev, err := e.Receive(httptest.NewRecorder(), newBatch().Request("/"))
			out := e.Process(t.Context(), newEvent(t), succeed)
			if tt.want == "" {
				for name, f := range start {
					assert.NotPanics(t, f, name)
				}
				require.NoError(t, err)
				assert.Equal(t, geminihook.Processed, out.Result)
				return
			}
			for name, f := range start {
				assert.Contains(t, panicText(f), tt.want, name)
			}
			assert.Nil(t, ev)
			require.ErrorContains(t, err, tt.want)
			assert.Equal(t, 500, geminihook.StatusCode(err))
			assert.Equal(t, geminihook.Failed, out.Result)
			assert.Equal(t, 500, out.Status)
			require.ErrorContains(t, out.Err, tt.want)
		})
	}
}

// TestMissing: what is required is nil.
func TestMissing(t *testing.T) {
	e := &geminihook.Endpoint{Verifier: newVerifier(t)}
	empty := &geminihook.Endpoint{}
	o := observe(t, empty)
	empty.Verifier = nil
	for _, tt := range []struct {
		name string
		call func()
		want string
	}{
		{"function", func() { e.Handler(nil) }, "geminihook: Handler: the function is nil"},
		{"handler", func() { e.Middleware(nil) }, "geminihook: Middleware: the handler is nil"},
		{"HandlerFunc", func() { e.Middleware(http.HandlerFunc(nil)) }, "geminihook: Middleware: the handler is nil"},
		{"Verifier of Handler", func() { empty.Handler(succeed) }, "Endpoint.Verifier is nil"},
		{"Verifier of Middleware", func() { empty.Middleware(http.NotFoundHandler()) }, "Endpoint.Verifier is nil"},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Contains(t, panicText(tt.call), tt.want) })
	}
	t.Run("Verifier of Receive", func(t *testing.T) {
		_, err := empty.Receive(httptest.NewRecorder(), newBatch().Request("/"))
		require.ErrorContains(t, err, "Endpoint.Verifier is nil")
		assert.Equal(t, 500, geminihook.StatusCode(err))
	})
	t.Run("function of Process", func(t *testing.T) {
		out := empty.Process(t.Context(), newEvent(t), nil)
		assert.Equal(t, 500, out.Status)
		require.ErrorContains(t, out.Err, "the event or the function is nil")
		assert.Equal(t, out, o.next())
	})
	t.Run("event of Process", func(t *testing.T) {
		out := empty.Process(t.Context(), nil, succeed)
		assert.Nil(t, out.Event, "there is none to report or to record")
		assert.Equal(t, 500, out.Status)
		require.ErrorContains(t, out.Err, "the event or the function is nil")
	})
}

// panicText returns what f panics with.
func panicText(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}
