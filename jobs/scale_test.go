package jobs_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numbered is the name of an operation, for which the SDK takes the least time.
const numbered = "models/m/operations/"

// endless is an API with any number of operations, of which every hundredth is
// done.
func endless() *fakeapi.API {
	return &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		i, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/v1beta/"+numbered))
		raw(fmt.Sprintf(`{"name":"%s%d","done":%t}`, numbered, i, i%100 == 0))(w, r)
		return true
	}}
}

// TestManyJobs: the memory of a sweep does not grow with the number of jobs, and
// there are never more requests at a time than configured.
func TestManyJobs(t *testing.T) {
	const count, atOnce = 100_000, 8
	api := endless()
	c, _ := newCatchUp(t, inProcess(t, api))
	c.Handle = func(context.Context, *geminihook.Event) error { return nil }
	var before, most uint64
	c.Concurrency = atOnce
	c.Waiting = func(context.Context) iter.Seq2[jobs.Job, error] {
		return func(yield func(jobs.Job, error) bool) {
			for i := range count {
				if i%10_000 == 1000 {
					heap := liveHeap()
					if before == 0 {
						before = heap
					}
					most = max(most, heap)
				}
				if !yield(jobs.Job{ID: numbered + strconv.Itoa(i), Kind: jobs.KindVideo}, nil) {
					return
				}
			}
		}
	}
	summary, err := c.Sweep(t.Context())
	require.NoError(t, err)
	assert.Equal(t, jobs.Summary{
		Waiting: count, Running: count - count/100, Ended: count / 100, Handled: count / 100,
		Elapsed: summary.Elapsed,
	}, summary)
	requests, highest := api.Requests()
	assert.Equal(t, count, requests)
	assert.LessOrEqual(t, highest, atOnce)
	growth := int64(most) - int64(before)
	assert.Less(t, growth, int64(2<<20), "20 bytes per job would be 2 MB")
	t.Logf("%d jobs, %d ended, in %v; the heap grew by %d KiB; at most %d requests at a time",
		summary.Waiting, summary.Ended, summary.Elapsed.Round(100e6), growth>>10, highest)
}

// TestConcurrency: there are as many requests at a time as configured, and no more.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived, respond := make(chan struct{}, 9), make(chan struct{})
		api := &fakeapi.API{Intercept: func(http.ResponseWriter, *http.Request) bool {
			arrived <- struct{}{}
			<-respond
			return false
		}}
		c, _ := newCatchUp(t, inProcess(t, api), batches(api, 9)...)
		c.Concurrency = 3
		var sweep sync.WaitGroup
		sweep.Go(func() {
			summary, err := c.Sweep(t.Context())
			assert.NoError(t, err)
			assert.Equal(t, 9, summary.Waiting)
		})
		for range 9 / 3 {
			for range 3 {
				<-arrived
			}
			<-time.After(time.Second) // in which another could arrive
			assert.Empty(t, arrived)
			for range 3 {
				respond <- struct{}{}
			}
		}
		sweep.Wait()
		_, highest := api.Requests()
		assert.Equal(t, 3, highest)
	})
}

// TestRace: 10,000 times, a webhook and a sweep report the same end at the same
// moment, and the function runs once.
func TestRace(t *testing.T) {
	const count = 10_000
	var effects [count]atomic.Int32
	var bySweep, byWebhook atomic.Int32
	handle := func(_ context.Context, ev *geminihook.Event) error {
		i, _ := strconv.Atoi(strings.TrimPrefix(ev.JobID(), numbered))
		effects[i].Add(1)
		if ev.Proof.Scheme == jobs.SchemeAPI {
			bySweep.Add(1)
		} else {
			byWebhook.Add(1)
		}
		runtime.Gosched()
		return nil
	}
	api := &fakeapi.API{}
	c, _ := newCatchUp(t, inProcess(t, api))
	c.Handle, c.Concurrency = handle, 16
	receiver := c.Endpoint.Handler(handle)
	var webhooks sync.WaitGroup
	var delivered atomic.Int32
	api.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		name := strings.TrimPrefix(r.URL.Path, "/v1beta/")
		body := []byte(fmt.Sprintf(`{"type":"video.generated","data":{"id":%q}}`, name))
		delivery := webhooktest.NewBody(body, webhooktest.Static(secret))
		begun := make(chan struct{})
		begin := sync.OnceFunc(func() { close(begun) })
		sender := &webhooktest.Sender{
			FirstRetry: time.Millisecond, MaxRetry: time.Millisecond,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				begin()
				receiver.ServeHTTP(w, r)
			}),
		}
		webhooks.Go(func() {
			report, err := sender.Deliver(t.Context(), delivery) // until it is acknowledged
			assert.NoError(t, err)
			delivered.Add(int32(len(report.Delivered)))
		})
		// However few processors there are, every second webhook comes first.
		if (name[len(name)-1]-'0')%2 == 0 {
			<-begun
		}
		raw(fmt.Sprintf(`{"name":%q,"done":true}`, name))(w, r)
		return true
	}
	list := make([]jobs.Job, count)
	for i := range list {
		list[i] = jobs.Job{ID: numbered + strconv.Itoa(i), Kind: jobs.KindVideo}
	}
	c.Waiting = waiting(list...)
	summary, err := c.Sweep(t.Context())
	require.NoError(t, err)
	webhooks.Wait()
	assert.Equal(t, count, summary.Ended)
	assert.Equal(t, count, summary.Handled+summary.Duplicate+summary.Busy)
	assert.EqualValues(t, count, delivered.Load())
	for i := range effects {
		if n := effects[i].Load(); n != 1 {
			t.Errorf("the end of %d had %d effects", i, n)
		}
	}
	assert.Positive(t, bySweep.Load())
	assert.Positive(t, byWebhook.Load())
	t.Logf("%d ends, reported twice each: %d handled by the sweep, %d by the webhook; the sweep saw %d duplicates, and %d in progress",
		count, bySweep.Load(), byWebhook.Load(), summary.Duplicate, summary.Busy)
}
