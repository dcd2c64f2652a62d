package geminihook_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

// newLateBatch is a delivery about a job that ended 30 seconds before the bubble's
// clock began.
func newLateBatch() *webhooktest.Delivery {
	d := webhooktest.NewBody([]byte(
		`{"type":"batch.expired","timestamp":"1999-12-31T23:59:30Z","data":{"id":"batches/abc"}}`))
	d.SetID("msg_1")
	return d.Sign(time.Now(), signer)
}

// TestLinesNameTheJob: whatever becomes of a verified event, each line about it names
// the event, its job, and its age.
func TestLinesNameTheJob(t *testing.T) {
	hang := func(context.Context, *geminihook.Event) error {
		letPass(2 * time.Hour)
		return nil
	}
	refuse := func(err error) func(context.Context, *geminihook.Event) error {
		return func(context.Context, *geminihook.Event) error { return err }
	}
	noKey := func(context.Context, *geminihook.Event) (string, error) { return "", nil }
	unrenewable := &hookedStore{before: failing("Renew", 1_000_000)}
	twice := []string{"result=processed", "result=duplicate"}
	for _, tt := range []struct {
		name     string
		endpoint *geminihook.Endpoint
		fn       function
		want     []string // part of each line
	}{
		{"handled twice", &geminihook.Endpoint{}, succeed, twice},
		{"fails twice", &geminihook.Endpoint{}, failWith(errDisk), []string{"result=failed", "result=failed"}},
		{"dropped", &geminihook.Endpoint{}, failWith(geminihook.Permanent(errDisk)), []string{"result=dropped", "result=duplicate"}},
		{"ignored", &geminihook.Endpoint{Authorize: refuse(geminihook.Permanent(errDisk))}, succeed, []string{"result=ignored", "result=ignored"}},
		{"forbidden", &geminihook.Endpoint{Authorize: refuse(geminihook.ErrForbidden)}, succeed, []string{"result=forbidden", "result=forbidden"}},
		{"Authorize is down", &geminihook.Endpoint{Authorize: refuse(errDisk)}, succeed, []string{"result=unavailable", "result=unavailable"}},
		{"no key", &geminihook.Endpoint{Key: noKey}, succeed, []string{"result=unavailable", "result=unavailable"}},
		{"the store is down", &geminihook.Endpoint{Store: &hookedStore{before: failing("Claim", 2)}}, succeed, []string{"result=unavailable", "result=unavailable"}},
		{"hangs", &geminihook.Endpoint{}, hang, []string{"has not returned", "has not returned", "result=processed", "result=processed"}},
		{"hangs in a transaction", &geminihook.Endpoint{Transactor: scriptedTransactor(committing)}, hang, []string{"has not returned", "has not returned", "result=", "result="}},
		{"is not renewed", &geminihook.Endpoint{Store: unrenewable}, work(time.Hour), []string{"was not renewed", "result=failed", "was not renewed", "result=failed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := observe(t, tt.endpoint)
				h := tt.endpoint.Handler(tt.fn)
				d := newLateBatch()
				for range 2 {
					go h.ServeHTTP(&discard{header: http.Header{}}, d.Request("/"))
					letPass(4 * time.Minute)
				}
				letPass(3 * time.Hour)
				assertNamesJob(t, o.log(), tt.want)
			})
		})
	}
	t.Run("panics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &geminihook.Endpoint{}
			o := observe(t, e)
			h := e.Handler(func(context.Context, *geminihook.Event) error { panic(errDisk) })
			assert.Panics(t, func() { h.ServeHTTP(&discard{header: http.Header{}}, newLateBatch().Request("/")) })
			assertNamesJob(t, o.log(), []string{"result=failed"})
		})
	})
	t.Run("the response is too long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &geminihook.Endpoint{}
			o := observe(t, e)
			h := e.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, err := w.Write(make([]byte, 2<<20))
				assert.NoError(t, err)
			}))
			h.ServeHTTP(&discard{header: http.Header{}}, newLateBatch().Request("/"))
			assertNamesJob(t, o.log(), []string{"without its body", "result=processed"})
		})
	})
}

// assertNamesJob checks every line of a log about the event of newLateBatch.
func assertNamesJob(t *testing.T, log string, want []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(log), "\n")
	if !assert.Len(t, lines, len(want), log) {
		return
	}
	for i, line := range lines {
		assert.Contains(t, line, want[i])
		for _, attribute := range []string{
			" webhook_id=msg_1 ", " type=batch.expired ", " job=batches/abc ", " age_s=",
		} {
			assert.Contains(t, line+" ", attribute)
		}
	}
}

// TestLinesOfUnknownJobs: an event without an id, a job or a time gets lines without
// these attributes, not with empty ones.
func TestLinesOfUnknownJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &geminihook.Endpoint{}
		o := observe(t, e)
		ev := &geminihook.Event{ID: "msg_1"}
		e.Process(t.Context(), ev, func(context.Context, *geminihook.Event) error {
			letPass(2 * time.Minute)
			return errors.New("late")
		})
		assert.Equal(t, 2, countLines(o.log(), "webhook_id=msg_1 "))
		for _, absent := range []string{`=""`, "job=", "type=", "age_s="} {
			assert.NotContains(t, o.log(), absent)
		}
	})
}
