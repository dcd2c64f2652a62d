package geminihook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// incident is what goes wrong from hour 8 of a day on, and how an alert shows it.
type incident struct {
	cause      func(d *day)
	runTimeout time.Duration // of the endpoint; zero means the default
	within     time.Duration // after which the alert must fire
	still      time.Duration // how long after the cause it must fire, still; zero for once
	late       string        // the result of late lines in the log, if the guide names them
}

// incidents has one for each row of the table of alerts in docs/operations.md.
var incidents = map[string]incident{
	"EventFails": {cause: failOneJob, within: 20 * time.Minute, still: 23 * time.Hour, late: "failed"},
	"Unavailable": {cause: func(d *day) {
		d.set(func(s *state) { s.store = failing("Claim", 1_000_000) })
	}, within: time.Hour, late: "unavailable"},
	"EventStaysBusy": {cause: func(d *day) { // a run that takes many hours
		d.set(func(s *state) { s.fn = onlyFor("batches/1", work(22*time.Hour)) })
		d.deliver("batches/1")
	}, runTimeout: 23 * time.Hour, within: 20 * time.Minute, still: 21 * time.Hour, late: "busy"},
	"RunHangs": {cause: func(d *day) {
		d.set(func(s *state) { s.fn = onlyFor("batches/1", d.hang) })
		d.deliver("batches/1")
	}, within: 10 * time.Minute, still: 30 * time.Hour},
	"NothingVerifies": {cause: func(d *day) { // the secret was rotated
		d.set(func(s *state) { s.signer = webhooktest.Static(newSecret) })
		letPass(6 * time.Hour)
		d.set(func(s *state) { s.signer = signer })
	}, within: 2 * time.Hour, still: 6 * time.Hour},
	"EventDropped": {cause: func(d *day) {
		d.set(func(s *state) { s.fn = failWith(geminihook.Permanent(errNotFound)) })
		d.deliver("batches/1")
		letPass(time.Minute)
		d.set(func(s *state) { s.fn = succeed })
	}, within: 2 * time.Minute},
	"EventsRecorded": {cause: failOneJob, within: 2 * time.Hour, still: 30 * time.Hour},
	"RecorderIsFull": {cause: func(d *day) {
		d.set(func(s *state) { s.fn, s.giveUp = failBulk, -1 })
		for i := range 100 {
			d.deliver(fmt.Sprint("batches/bulk-", i))
		}
		d.set(func(s *state) { s.giveUp = 0 })
	}, within: 2 * time.Minute, still: 30 * time.Hour},
	"LeaseLost": {cause: func(d *day) {
		d.set(func(s *state) {
			s.store, s.fn = failing("Renew", 1_000_000), onlyFor("batches/1", work(50*time.Second))
		})
		d.deliver("batches/1")
	}, within: 5 * time.Minute},
	"MarkLost": {cause: func(d *day) {
		d.set(func(s *state) { s.store = failing("Complete", 1_000_000) })
		d.deliver("batches/1")
		letPass(time.Minute)
		d.set(func(s *state) { s.store = nil })
	}, within: 5 * time.Minute},
	"EventsLate": {cause: func(d *day) { // a proxy refuses what arrives
		d.set(func(s *state) { s.proxy = http.StatusBadGateway })
		d.deliver("batches/1")
		letPass(time.Hour)
		d.set(func(s *state) { s.proxy = 0 })
	}, within: 3 * time.Hour},
	"NothingArrives": {cause: func(d *day) {
		d.set(func(s *state) { s.quiet = true })
	}, within: 8 * time.Hour, still: 30 * time.Hour},
	"KeysNotFetched": {cause: func(d *day) {
		d.set(func(s *state) { s.keysAway = true })
	}, within: 8 * time.Hour, still: 30 * time.Hour},
	"SecretsNotRead": {cause: func(d *day) {
		assert.NoError(d.t, os.WriteFile(d.secrets.Path, []byte("whsec_damaged"), 0o600))
	}, within: 20 * time.Minute, still: 30 * time.Hour},
}

// failOneJob lets the function fail for one job.
func failOneJob(d *day) {
	d.set(func(s *state) { s.fn = onlyFor("batches/1", failWith(errNotFound)) })
	d.deliver("batches/1")
}

// failBulk fails for the jobs of a bulk.
func failBulk(_ context.Context, ev *geminihook.Event) error {
	if strings.HasPrefix(ev.JobID(), "batches/bulk-") {
		return errDisk
	}
	return nil
}

// onlyFor is a function that calls fn for one job, and succeeds for all others.
func onlyFor(job string, fn function) function {
	return func(ctx context.Context, ev *geminihook.Event) error {
		if ev.JobID() != job {
			return nil
		}
		return fn(ctx, ev)
	}
}

// TestAlerts: each alert of the guide fires after its cause, and not before.
func TestAlerts(t *testing.T) {
	alerts := readAlerts(t)
	var names []string
	for _, a := range alerts {
		names = append(names, a.name)
		t.Run(a.name, func(t *testing.T) {
			tt, ok := incidents[a.name]
			require.True(t, ok, "no incident proves this row of the table")
			var samples []sample
			var log string
			synctest.Test(t, func(t *testing.T) {
				d := newDay(t, tt.runTimeout)
				samples = d.run(tt.cause)
				log = d.log.log()
			})
			if tt.late != "" {
				assert.Greater(t, lateLines(t, log)[tt.late], 10)
			}
			fires := a.fires(t, samples)
			first := slices.Index(fires, true)
			require.NotEqual(t, -1, first, "it fires")
			assert.GreaterOrEqual(t, first, causeMinute, "the minute in which it fires")
			assert.LessOrEqual(t, first, causeMinute+minutes(tt.within))
			if tt.still > 0 {
				last := causeMinute + minutes(tt.still)
				assert.False(t, slices.Contains(fires[first:last], false), "it does not stop")
			}
		})
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(incidents)), names)
}

// TestAlertsQuiet: no alert fires on a day on which nothing is wrong: there are
// duplicates, an attempt that fails, a run that is cut off, a scanner, and an event
// that is not for this program.
func TestAlertsQuiet(t *testing.T) {
	var samples []sample
	synctest.Test(t, func(t *testing.T) {
		d := newDay(t, 0)
		samples = d.run(nothingWrong)
		assert.Empty(t, lateLines(t, d.log.log()))
	})
	for _, a := range readAlerts(t) {
		minute := slices.Index(a.fires(t, samples), true)
		assert.Equal(t, -1, minute, "the minute in which %s fires", a.name)
	}
	last := samples[len(samples)-1]
	for _, result := range []string{"processed", "duplicate", "failed", "rejected", "ignored"} {
		assert.Positive(t, last[`gemini_webhooks_total{result="`+result+`"}`], result)
	}
}

// lateLines counts, by result, the lines of the log by which an alert sees an event
// that is not being handled.
func lateLines(t *testing.T, log string) map[string]int {
	t.Helper()
	late := map[string]int{}
	for text := range strings.Lines(log) {
		var line struct {
			Severity, Message, Result string
			Age                       float64 `json:"age_s"`
		}
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		assert.Contains(t, []string{"INFO", "WARNING", "ERROR"}, line.Severity)
		assert.Contains(t, line.Message, "gemini webhook")
		open := []string{"failed", "unavailable", "busy"}
		if slices.Contains(open, line.Result) && line.Age > 600 {
			late[line.Result]++
		}
	}
	return late
}

func nothingWrong(d *day) {
	var failed, cutOff atomic.Bool
	d.set(func(s *state) {
		s.duplicates = 0.2
		s.fn = func(ctx context.Context, ev *geminihook.Event) error {
			switch {
			case ev.JobID() == "batches/1" && !failed.Swap(true):
				return errDisk
			case ev.JobID() == "batches/2" && !cutOff.Swap(true):
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
	})
	for _, job := range []string{"batches/1", "batches/2", "batches/theirs"} {
		d.deliver(job)
	}
	for range 100 {
		webhooktest.Post(d, newBatch().WrongSecret())
		letPass(time.Second)
	}
}
