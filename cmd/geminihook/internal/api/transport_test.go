package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSkew(t *testing.T) {
	date := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	resp := &http.Response{Header: http.Header{"Date": {date.Format(http.TimeFormat)}}}
	for _, tt := range []struct {
		name           string
		sent, received time.Duration // after the Date
		want           time.Duration
	}{
		{"exact", 0, 0, 0},
		{"slow response", -4 * time.Second, 5 * time.Second, 0},
		{"the fraction that Date cuts off", 900 * time.Millisecond, 950 * time.Millisecond, 0},
		{"fast clock", time.Minute, time.Minute + time.Second, 59 * time.Second},
		{"slow clock", -time.Minute, -time.Minute + time.Second, -59 * time.Second},
	} {
		got, ok := api.Skew(resp, date.Add(tt.sent), date.Add(tt.received))
		assert.True(t, ok)
		assert.Equal(t, tt.want, got, tt.name)
	}
	_, ok := api.Skew(&http.Response{Header: http.Header{}}, date, date)
	assert.False(t, ok)
}

func TestPrivate(t *testing.T) {
	for url, want := range map[string]bool{
		"https://example.com/": true, "http://127.0.0.1:80/": true, "http://[::1]/": true,
		"http://localhost:1/": true,
		"http://example.com/": false, "ftp://localhost/": false, "https://": false,
		"example.com": false, "http://localhost.example.com": false,
	} {
		assert.Equal(t, want, api.Private(url), url)
	}
}

// calls is a call of each method of a Client. Nil means that the method makes no
// request.
var calls = map[string]func(ctx context.Context, c *api.Client) error{
	"Create": func(ctx context.Context, c *api.Client) error {
		_, _, err := c.Create(ctx, "name", "https://example.com/", api.Events())
		return err
	},
	"Delete": func(ctx context.Context, c *api.Client) error { return c.Delete(ctx, "a") },
	"Get": func(ctx context.Context, c *api.Client) error {
		_, err := c.Get(ctx, "a")
		return err
	},
	"List": func(ctx context.Context, c *api.Client) error {
		_, err := c.List(ctx)
		return err
	},
	"Rotate": func(ctx context.Context, c *api.Client) error {
		_, err := c.Rotate(ctx, "a")
		return err
	},
	"Skew": nil,
	"Update": func(ctx context.Context, c *api.Client) error {
		_, err := c.Update(ctx, "a", nil)
		return err
	},
}

// TestRedirect: no method follows a redirect, which could take the API key, or the
// secret of a webhook, to another address.
func TestRedirect(t *testing.T) {
	methods := reflect.TypeFor[*api.Client]()
	require.Equal(t, methods.NumMethod(), len(calls), "methods of Client")
	var followed atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		followed.Add(1)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{
			other.URL + "/x",
			strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + "/x",
			"/x", // the same address
		} {
			var requests, back atomic.Int32
			google := httptest.NewServer(http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/x" {
						back.Add(1)
					}
					requests.Add(1)
					http.Redirect(w, r, target, status)
				}))
			vars := map[string]string{"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": google.URL}
			c, err := api.New(t.Context(), func(name string) string { return vars[name] })
			require.NoError(t, err)
			var made int32
			for name, call := range calls {
				_, ok := methods.MethodByName(name)
				require.True(t, ok, name)
				if call == nil {
					continue
				}
				made++
				redirect := fmt.Sprintf("a redirect (%d), which is not followed", status)
				require.ErrorContains(t, call(t.Context(), c), redirect, name)
			}
			assert.Equal(t, made, requests.Load())
			assert.Zero(t, back.Load())
			google.Close()
		}
	}
	assert.Zero(t, followed.Load())
}
