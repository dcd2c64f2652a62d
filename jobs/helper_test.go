package jobs_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// serve serves the API over HTTP and returns a client for it, which repeats failed
// requests unless it is told not to.
func serve(t testing.TB, api http.Handler) *genai.Client {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return newClient(t, genai.ClientConfig{HTTPOptions: genai.HTTPOptions{
		BaseURL: server.URL, RetryOptions: &genai.HTTPRetryOptions{Attempts: genai.Ptr(int32(3))},
	}})
}

func newClient(t testing.TB, config genai.ClientConfig) *genai.Client {
	t.Helper()
	config.Backend, config.APIKey = genai.BackendGeminiAPI, fakeapi.Key
	client, err := genai.NewClient(t.Context(), &config)
	require.NoError(t, err)
	return client
}

// event decodes the body of an event.
func event(t testing.TB, body string) *geminihook.Event {
	t.Helper()
	ev, err := geminihook.ParseUnverified([]byte(body))
	require.NoError(t, err)
	return ev
}

var secret = webhooktest.RandomSecret()

// requestTimeout is the documented bound of one request.
const requestTimeout = 30 * time.Second

// status responds with an error of the API.
func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { fakeapi.Fail(w, r, code) }
}

// page responds with something that is not from the API.
func page(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, "<html> %01000d SECRET", 0)
	}
}

// raw responds with a body.
func raw(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

// inProcess returns a client whose requests the handler serves without a network,
// so that a synctest bubble has the time.
func inProcess(t *testing.T, api http.Handler) *genai.Client {
	return newClientWith(t, func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		response := w.Result()
		response.Request = r
		return response
	})
}

// newClientWith returns a client whose requests get the responses of a function.
func newClientWith(t *testing.T, respond roundTripper) *genai.Client {
	t.Helper()
	return newClient(t, genai.ClientConfig{HTTPClient: &http.Client{Transport: respond}})
}

// responseWith returns a response to a request.
func responseWith(r *http.Request, status int, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: status, Body: body, Header: http.Header{}, Request: r}
}
