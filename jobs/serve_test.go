package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// post sends one request to a CatchUp.
func post(ctx context.Context, c *jobs.CatchUp, method string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(method, "/sweep", nil).WithContext(ctx))
	return w
}

// TestServeStatus: the status tells the scheduler whether to try again, and no text of
// an error is in the response.
func TestServeStatus(t *testing.T) {
	broken := func(context.Context) iter.Seq2[jobs.Job, error] {
		return func(yield func(jobs.Job, error) bool) { yield(jobs.Job{}, errors.New("SECRET")) }
	}
	for _, tt := range []struct {
		name   string
		change func(*jobs.CatchUp)
		status int
		body   string
	}{
		{"handled", func(*jobs.CatchUp) {}, 200, `{"complete":true,"waiting":1,"young":0,"running":0,"unreadable":0,"ended":1,"handled":1,"duplicate":0,"busy":0,"dropped":0,"failed":0,"needs_action":0,"elapsed_ms":`},
		{"dropped", func(c *jobs.CatchUp) {
			c.Handle = func(context.Context, *geminihook.Event) error {
				return geminihook.Permanent(errors.New("SECRET"))
			}
		}, 200, `"dropped":1`},
		{"unreadable", func(c *jobs.CatchUp) {
			c.Waiting = waiting(jobs.Job{ID: "gone", Kind: jobs.KindBatch})
		}, 200, `"unreadable":1`},
		{"failed", func(c *jobs.CatchUp) {
			c.Handle = func(context.Context, *geminihook.Event) error {
				return errors.New("SECRET")
			}
		}, 503, `"failed":1`},
		{"the table is gone", func(c *jobs.CatchUp) { c.Waiting = broken }, 503, `{"complete":false,`},
		{"not set up", func(c *jobs.CatchUp) { c.Endpoint.Key = nil }, 500, "Internal Server Error\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := newCatchUp(t, serve(t, newAPI()), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
			tt.change(c)
			w := post(t.Context(), c, http.MethodPost)
			assert.Equal(t, tt.status, w.Code)
			assert.Contains(t, w.Body.String(), tt.body)
			assert.NotContains(t, w.Body.String(), "SECRET")
			again := w.Header().Get("Retry-After") != ""
			assert.Equal(t, tt.status == http.StatusServiceUnavailable, again)
		})
	}
}

// TestServeMethod: only a POST begins a sweep.
func TestServeMethod(t *testing.T) {
	api := newAPI()
	c, _ := newCatchUp(t, serve(t, api), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		w := post(t.Context(), c, method)
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		assert.Equal(t, "POST", w.Header().Get("Allow"))
	}
	requests, _ := api.Requests()
	assert.Zero(t, requests)
}

// TestServeOneAtATime: a second request during a sweep does not begin another, and one
// after it does.
func TestServeOneAtATime(t *testing.T) {
	c, _ := newCatchUp(t, serve(t, newAPI()), jobs.Job{ID: "abc", Kind: jobs.KindBatch})
	runs := 0
	c.Handle = func(ctx context.Context, _ *geminihook.Event) error {
		runs++
		assert.Equal(t, http.StatusConflict, post(ctx, c, http.MethodPost).Code)
		return nil
	}
	assert.Equal(t, http.StatusOK, post(t.Context(), c, http.MethodPost).Code)
	assert.Equal(t, http.StatusOK, post(t.Context(), c, http.MethodPost).Code)
	assert.Equal(t, 1, runs)
}

// TestServeBounded: a sweep ends after SweepTimeout or when the client hangs up, and
// the runs that have begun do not.
func TestServeBounded(t *testing.T) {
	for name, hangUp := range map[string]time.Duration{
		"timeout": time.Hour,
		"hung up": 30 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeapi.API{}
				var list []jobs.Job
				for i := range 100 {
					name := fmt.Sprintf("batches/b%d", i)
					api.Set(name, fakeapi.Batch(name, "BATCH_STATE_SUCCEEDED"))
					list = append(list, jobs.Job{ID: name, Kind: jobs.KindBatch})
				}
				c, _ := newCatchUp(t, inProcess(t, api), list...)
				c.PerSecond, c.Concurrency = 1, 2
				c.Handle = func(ctx context.Context, _ *geminihook.Event) error {
					select {
					case <-time.After(45 * time.Second):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				var observed jobs.Summary
				c.Observe = func(s jobs.Summary) { observed = s }
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer time.AfterFunc(hangUp, cancel).Stop()
				w := post(ctx, c, http.MethodPost)
				assert.Equal(t, http.StatusServiceUnavailable, w.Code)
				require.Error(t, observed.Err)
				assert.Zero(t, observed.Failed)
				assert.Equal(t, observed.Ended, observed.Handled)
				assert.Positive(t, observed.Handled)
				assert.Less(t, observed.Elapsed, time.Minute+time.Minute)
				if name == "timeout" {
					assert.ErrorContains(t, observed.Err, "SweepTimeout")
				}
			})
		})
	}
}
