package jobs_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// batches returns n jobs, of which every hundredth has ended.
func batches(api *fakeapi.API, n int) []jobs.Job {
	list := make([]jobs.Job, n)
	for i := range list {
		name, state := fmt.Sprintf("batches/b%d", i), "BATCH_STATE_RUNNING"
		if i%100 == 0 {
			state = "BATCH_STATE_SUCCEEDED"
		}
		api.Set(name, fakeapi.Batch(name, state))
		list[i] = jobs.Job{ID: name, Kind: jobs.KindBatch}
	}
	return list
}

// TestRate: requests are spread over time.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeapi.API{}
		c, _ := newCatchUp(t, inProcess(t, api), batches(api, 101)...)
		c.PerSecond = 10
		summary, err := c.Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, summary.Elapsed)
	})
}

// TestLimited: when the API says that there are too many requests, no request is
// made for as long as it asks; then the same job is asked about again.
func TestLimited(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit func(w http.ResponseWriter, r *http.Request)
		times int // the number of requests that meet the limit
		want  time.Duration
	}{
		{"seconds", limited(429, "7"), 1, 7 * time.Second},
		{"a date", limited(429, time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC).Format(http.TimeFormat)), 1, time.Minute},
		{"a date in the past", limited(429, "Mon, 01 Jan 1990 00:00:00 GMT"), 1, 2 * time.Second},
		{"nothing", status(429), 1, 2 * time.Second},
		{"nothing, again and again", status(429), 3, 14 * time.Second},
		{"nonsense", limited(429, "-7"), 1, 2 * time.Second},
		{"a week", limited(429, "604800"), 1, 10 * time.Minute},
		{"a number that overflows", limited(429, "9999999999999"), 1, 2 * time.Second},
		{"unavailable, with a time", limited(503, "7"), 1, 7 * time.Second},
		{"in the body", failure(429, `{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"9s"}]}}`), 1, 9 * time.Second},
	} {
		for _, kind := range []jobs.Kind{jobs.KindBatch, jobs.KindInteraction, jobs.KindVideo} {
			if tt.name == "in the body" && kind == jobs.KindInteraction {
				continue // their errors have no details
			}
			t.Run(tt.name+" "+string(kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					left := tt.times
					limit := func(w http.ResponseWriter, r *http.Request) bool {
						if left == 0 {
							return false
						}
						left--
						tt.limit(w, r)
						return true
					}
					api := &fakeapi.API{Intercept: limit}
					api.Set("batches/abc", fakeapi.Batch("batches/abc", "BATCH_STATE_RUNNING"))
					api.Set("interactions/abc", fakeapi.Interaction("abc", "in_progress", ""))
					api.Set(operation, fakeapi.Video(operation, ""))
					id := map[jobs.Kind]string{
						jobs.KindBatch:       "abc",
						jobs.KindInteraction: "abc",
						jobs.KindVideo:       operation,
					}[kind]
					c, _ := newCatchUp(t, inProcess(t, api), jobs.Job{ID: id, Kind: kind})
					summary, err := c.Sweep(t.Context())
					require.NoError(t, err)
					assert.Equal(t, 1, summary.Running)
					assert.Equal(t, tt.want, summary.Elapsed.Truncate(time.Millisecond))
					requests, _ := api.Requests()
					assert.Equal(t, tt.times+1, requests)
				})
			})
		}
	}
}

func limited(code int, retryAfter string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", retryAfter)
		fakeapi.Fail(w, r, code)
	}
}

// TestLimitedForAll: one limit holds back the requests of all jobs.
func TestLimitedForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		start, first := time.Now(), true
		api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if !first {
				assert.GreaterOrEqual(t, time.Since(start), time.Minute)
				return false
			}
			first = false
			limited(429, "60")(w, r)
			return true
		}}
		c, _ := newCatchUp(t, inProcess(t, api), batches(api, 20)...)
		c.PerSecond = 100
		summary, err := c.Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 19, summary.Running)
		assert.Equal(t, 1, summary.Handled)
	})
}

// TestLimitedForever: a job that always meets a limit is reported, and the sweep
// goes on.
func TestLimitedForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1beta/batches/b1" {
				fakeapi.Fail(w, r, 429)
				return true
			}
			return false
		}}
		c, _ := newCatchUp(t, inProcess(t, api), batches(api, 3)...)
		summary, err := c.Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, summary.Unreadable)
		assert.Equal(t, 1, summary.Running)
		requests, _ := api.Requests()
		assert.Equal(t, 2+5, requests)
	})
}

// TestTimeout: a request that hangs ends, and its job is asked about again.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, genai.ClientConfig{HTTPClient: &http.Client{Transport: hanging{}}})
		c, _ := newCatchUp(t, client, jobs.Job{ID: "abc", Kind: jobs.KindBatch},
			jobs.Job{ID: "abc", Kind: jobs.KindInteraction},
			jobs.Job{ID: operation, Kind: jobs.KindVideo})
		summary, err := c.Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, summary.Unreadable)
		assert.Equal(t, requestTimeout, summary.Elapsed.Truncate(time.Second))

		start := time.Now()
		_, err = jobs.Fetch(t.Context(), client, event(t, `{"type":"interaction.completed","data":{"id":"abc"}}`))
		require.ErrorContains(t, err, "no response in time")
		assert.Equal(t, requestTimeout, time.Since(start))

		start = time.Now()
		for _, err := range jobs.Batches(client)(t.Context()) {
			require.ErrorContains(t, err, "no response in time")
		}
		assert.Equal(t, requestTimeout, time.Since(start))
	})
}

type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestContextEnds: a sweep ends with its context, waits for the function, and says
// nothing about the jobs that it did not get to.
func TestContextEnds(t *testing.T) {
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"canceled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(5*time.Second, cancel)
			return ctx, cancel
		},
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeapi.API{}
				c, _ := newCatchUp(t, inProcess(t, api), batches(api, 100)...)
				c.PerSecond = 2
				ctx, cancel := end(t.Context())
				defer cancel()
				summary, err := c.Sweep(ctx)
				require.ErrorIs(t, err, ctx.Err())
				assert.Equal(t, err, summary.Err)
				assert.Zero(t, summary.Unreadable)
				assert.InDelta(t, 10, summary.Running, 2)
				assert.Equal(t, 5*time.Second, summary.Elapsed)
			})
		})
	}
}

// TestContextEndsInRequest: a sweep whose context ends in its last request has not
// asked about every job.
func TestContextEndsInRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, genai.ClientConfig{HTTPClient: &http.Client{Transport: hanging{}}})
		c, _ := newCatchUp(t, client, jobs.Job{ID: "abc", Kind: jobs.KindBatch})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		summary, err := c.Sweep(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, jobs.Summary{Waiting: 1, Elapsed: time.Second, Err: err}, summary)
	})
}

// TestRun: sweeps follow each other until the context ends, also after one that
// failed.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCatchUp(t, inProcess(t, &fakeapi.API{}))
		c.Waiting = func(context.Context) iter.Seq2[jobs.Job, error] {
			return func(yield func(jobs.Job, error) bool) { yield(jobs.Job{}, fmt.Errorf("the table is gone")) }
		}
		start := time.Now()
		var at []time.Duration
		c.Observe = func(s jobs.Summary) {
			assert.ErrorContains(t, s.Err, "the table is gone")
			at = append(at, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		require.ErrorIs(t, c.Run(ctx), context.DeadlineExceeded)
		assert.InDelta(t, 24*12, len(at), 40, "every 5 minutes")
		assert.Zero(t, at[0])
		pauses := map[time.Duration]bool{}
		for i := 1; i < len(at); i++ {
			pause := at[i] - at[i-1]
			assert.GreaterOrEqual(t, pause, 5*time.Minute/2)
			assert.Less(t, pause, 5*time.Minute*3/2)
			pauses[pause] = true
		}
		assert.Greater(t, len(pauses), 100, "they are random")
	})
}

// TestSweepKeepsKey: a redirect of a sweep's request to another host does not get
// the API key.
func TestSweepKeepsKey(t *testing.T) {
	got := make(chan string, 3)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("x-goog-api-key")
		fakeapi.Fail(w, r, http.StatusNotFound)
	}))
	t.Cleanup(other.Close)
	api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
		return true
	}}
	c, _ := newCatchUp(t, serve(t, api), jobs.Job{ID: "abc", Kind: jobs.KindBatch},
		jobs.Job{ID: "abc", Kind: jobs.KindInteraction},
		jobs.Job{ID: operation, Kind: jobs.KindVideo})
	summary, err := c.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, summary.Unreadable)
	for range 3 {
		assert.Empty(t, <-got)
	}
}
