package jobs_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBatches: a sweep over the list of a project handles each batch once, and
// leaves those alone that the store may have forgotten.
func TestBatches(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	api := &fakeapi.API{}
	client := serve(t, api)
	batches(api, 250) // 3 have ended
	created := func(name string, ago time.Duration) {
		api.Set(name, fakeapi.Batch(name, "BATCH_STATE_SUCCEEDED", "createTime",
			now.Add(-ago).Format(time.RFC3339)))
	}
	created("batches/young", time.Minute)
	created("batches/old", 6*24*time.Hour)
	created("batches/forgotten", 7*24*time.Hour)
	c, h := newCatchUp(t, client)
	c.Waiting, c.Now = jobs.Batches(client), func() time.Time { return now }
	summary, err := c.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, jobs.Summary{
		Waiting: 252, Young: 1, Running: 247, Ended: 4, Handled: 4, Elapsed: summary.Elapsed,
	}, summary)
	assert.Len(t, h.events, 4)
	requests, _ := api.Requests()
	assert.Equal(t, 13+251, requests, "pages and jobs")
	again, err := c.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 4, again.Duplicate)
}

// TestBatchesOutsideOfASweep: the list can be read by itself, and a loop can end
// early.
func TestBatchesOutsideOfASweep(t *testing.T) {
	api := &fakeapi.API{}
	client := serve(t, api)
	batches(api, 50)
	n := 0
	for job, err := range jobs.Batches(client)(t.Context()) {
		require.NoError(t, err)
		assert.Equal(t, jobs.KindBatch, job.Kind)
		if n++; n == 25 {
			break
		}
	}
	requests, _ := api.Requests()
	assert.Equal(t, 2, requests)
}

// TestBatchesFail: an error of a page ends the sweep, after the jobs of the pages
// before it. A limit does not.
func TestBatchesFail(t *testing.T) {
	for _, tt := range []struct {
		name    string
		respond func(http.ResponseWriter, *http.Request)
		times   int
		text    string
		waiting int
	}{
		{"500", status(500), 1000, "batches: 500 Internal Server Error", 20},
		{"a response that makes the SDK panic", raw(`{"operations":7}`), 1000, "could not read", 20},
		{"429, once", limited(429, "0"), 1, "", 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			left := tt.times
			api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				if r.FormValue("pageToken") != "20" || left == 0 {
					return false
				}
				left--
				tt.respond(w, r)
				return true
			}}
			client := serve(t, api)
			batches(api, 50)
			c, _ := newCatchUp(t, client)
			c.Waiting = jobs.Batches(client)
			summary, err := c.Sweep(t.Context())
			if tt.text != "" {
				require.ErrorContains(t, err, tt.text)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, tt.waiting, summary.Waiting)
			assert.Equal(t, 1, summary.Handled)
		})
	}
}

// TestBatchesThatTakeLong: a batch that takes longer than the store remembers is
// reported all the same. One that the store may forget before its turn is not.
func TestBatchesThatTakeLong(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }
	day := 24 * time.Hour
	api := &fakeapi.API{}
	client := serve(t, api)
	set := func(name, state string, times ...any) {
		api.Set(name, fakeapi.Batch(name, state, times...))
	}
	set("batches/long", "BATCH_STATE_SUCCEEDED",
		"createTime", ago(2*day), "endTime", ago(time.Hour))
	set("batches/running", "BATCH_STATE_RUNNING", "createTime", ago(2*day))
	set("batches/tomorrow", "BATCH_STATE_ASLEEP", "createTime", ago(2*day))
	set("batches/old", "BATCH_STATE_SUCCEEDED", "createTime", ago(2*day), "endTime", ago(day))
	set("batches/edge", "BATCH_STATE_SUCCEEDED",
		"createTime", ago(2*day), "endTime", ago(day-time.Minute))
	set("batches/no-end", "BATCH_STATE_FAILED", "createTime", ago(day))
	c, h := newCatchUp(t, client)
	c.Waiting, c.Now, c.Endpoint.Keep = jobs.Batches(client), func() time.Time { return now }, day
	summary, err := c.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, jobs.Summary{
		Waiting: 3, Running: 1, Unreadable: 1, Ended: 1, Handled: 1, Elapsed: summary.Elapsed,
	}, summary)
	require.Len(t, h.events, 1)
	assert.Equal(t, "batches/long", h.events[0].JobID())
}

// TestBatchesRepeat: a list that leads back to a page that it had ends, with an error.
func TestBatchesRepeat(t *testing.T) {
	for _, tt := range []struct {
		name string
		next map[string]string // the token of the next page, by the token of a page
		want int               // pages
	}{
		{"the same", map[string]string{"": "a", "a": "a"}, 2},
		{"two in turn", map[string]string{"": "a", "a": "b", "b": "a"}, 3},
		{"a later part", map[string]string{"": "a", "a": "b", "b": "c", "c": "d", "d": "c"}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := &fakeapi.API{}
			client := serve(t, pages(api, func(token string) string { return tt.next[token] }))
			api.Set("batches/abc", fakeapi.Batch("batches/abc", "BATCH_STATE_RUNNING"))
			c, _ := newCatchUp(t, client)
			c.Waiting = jobs.Batches(client)
			summary, err := c.Sweep(t.Context())
			text := fmt.Sprintf("after %d pages, the list leads to the same page again", tt.want)
			require.ErrorContains(t, err, text)
			assert.Equal(t, tt.want, summary.Waiting)
		})
	}
}

// TestBatchesWithoutEnd: a list that always has another page ends, with an error.
func TestBatchesWithoutEnd(t *testing.T) {
	n := 0
	client := inProcess(t, pages(&fakeapi.API{}, func(string) string {
		n++
		return strconv.Itoa(n)
	}))
	var last error
	for _, err := range jobs.Batches(client)(t.Context()) {
		last = err
	}
	require.ErrorContains(t, last, "more than 1000 pages")
	assert.Equal(t, 1000, n)
}

// pages makes the list of batches have one batch per page, and the next page that a
// function returns for the token of a page.
func pages(api *fakeapi.API, next func(token string) string) *fakeapi.API {
	api.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1beta/batches" {
			return false
		}
		raw(fmt.Sprintf(`{
			"operations": [{"name": "batches/abc", "metadata": {"state": "BATCH_STATE_RUNNING"}}],
			"nextPageToken": %q
		}`, next(r.FormValue("pageToken"))))(w, r)
		return true
	}
	return api
}
