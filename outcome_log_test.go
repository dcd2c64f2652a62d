package geminihook_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

// attributes returns the names and values of a log line of slog's TextHandler, in
// their order and without its time, level and message.
func attributes(line string) string {
	_, rest, _ := strings.Cut(line, `msg="gemini webhook" `)
	return strings.TrimSpace(rest)
}

// TestLogLine: the attributes of every kind of line, with their units.
func TestLogLine(t *testing.T) {
	body := func(timestamp string) *webhooktest.Delivery {
		return webhooktest.NewBody(fmt.Appendf(nil,
			`{"type":"batch.expired","timestamp":%q,"data":{"id":"batches/abc"}}`, timestamp))
	}
	// The bubble begins at midnight.
	ended := time.Date(1999, 12, 31, 23, 59, 30, 250_000_000, time.UTC)
	slow := func(d time.Duration) function {
		return func(context.Context, *geminihook.Event) error {
			letPass(d)
			return nil
		}
	}
	const event = "type=batch.expired job=batches/abc scheme=v1 signed_by=whsec_...MDAx "
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		fn       function
		want     string
	}{
		{
			"processed", body(ended.Format(time.RFC3339Nano)), succeed,
			"result=processed status=200 webhook_id=msg_1 " + event + "attempt=1 age_s=29.75 elapsed_ms=0",
		},
		{
			"slow", body(ended.Format(time.RFC3339Nano)), slow(1500 * time.Millisecond),
			"result=processed status=200 webhook_id=msg_1 " + event + "attempt=1 age_s=31.25 elapsed_ms=1500",
		},
		{
			"large numbers", body("1999-12-01T00:00:00Z"), slow(20 * time.Minute),
			"result=processed status=200 webhook_id=msg_1 " + event + "attempt=1 age_s=2679600 elapsed_ms=1200000",
		},
		{
			"failed, without a time", body(""), failWith(errDisk),
			"result=failed status=500 webhook_id=msg_1 " + event + `attempt=1 elapsed_ms=0 reason="disk full"`,
		},
		{
			"from the future", body("2000-01-01T00:01:00Z"), succeed,
			"result=processed status=200 webhook_id=msg_1 " + event + "attempt=1 age_s=0 elapsed_ms=0",
		},
		{
			"no data", webhooktest.NewBody([]byte(`{"type":"x"}`)), succeed,
			"result=processed status=200 webhook_id=msg_1 type=x scheme=v1 signed_by=whsec_...MDAx attempt=1 elapsed_ms=0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{}
				o := observe(t, e)
				tt.delivery.SetID("msg_1")
				r := tt.delivery.Sign(time.Now(), signer).Request("/")
				e.Handler(tt.fn).ServeHTTP(&discard{header: http.Header{}}, r)
				assert.Equal(t, tt.want, attributes(o.log()))
			})
		})
	}
}

// TestLogAttempt: the line has an attempt only if the function ran and the store
// counts.
func TestLogAttempt(t *testing.T) {
	d := newBatch()
	for _, tt := range []struct {
		name       string
		transactor geminihook.Transactor
		deliveries []*webhooktest.Delivery
		want       []string // for each line, its attempt
	}{
		{"a run and its duplicate", nil, []*webhooktest.Delivery{d, d}, []string{"attempt=1", ""}},
		{"rejected", nil, []*webhooktest.Delivery{d.Tampered()}, []string{""}},
		{"transaction", scriptedTransactor(committing), []*webhooktest.Delivery{d}, []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rc := newReceiver(t, &geminihook.Endpoint{Transactor: tt.transactor}, succeed)
			for _, d := range tt.deliveries {
				rc.send(t, d)
				rc.next()
			}
			assert.Equal(t, tt.want, attempts(rc.log()))
		})
	}
}

// attempts returns the attempt of each log line.
func attempts(log string) (found []string) {
	for line := range strings.Lines(log) {
		found = append(found, regexp.MustCompile(`attempt=\d+|$`).FindString(line))
	}
	return found
}

// flood sends that many forged deliveries, one per interval.
func flood(h http.Handler, n int, interval time.Duration) {
	d := newBatch().WrongSecret()
	for range n {
		h.ServeHTTP(&discard{header: http.Header{}}, d.Request("/"))
		letPass(interval)
	}
}

// TestLogFlood: what strangers cause is at most 10 lines in any second, and one
// more line with the number left out. Nothing is left out uncounted.
func TestLogFlood(t *testing.T) {
	for _, tt := range []struct {
		name     string
		n        int
		interval time.Duration
		most     int // lines in all
	}{
		{"at once", 3000, 0, 10},
		{"a thousand per second", 3000, time.Millisecond, 33},
		{"at the limit", 100, 100 * time.Millisecond, 100},
		{"just above the limit", 110, 90 * time.Millisecond, 120},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{}
				o := observe(t, e)
				h := e.Handler(succeed)
				flood(h, tt.n, tt.interval)
				lines := strings.Count(o.log(), "result=rejected")
				assert.LessOrEqual(t, strings.Count(o.log(), "\n"), tt.most)
				letPass(time.Second)
				flood(h, 1, 0)
				assert.Equal(t, tt.n, lines+leftOut(t, o.log()), "every line is there or counted")
				assertRate(t, o.log())
			})
		})
	}
}

// leftOut adds up what was left out.
func leftOut(t *testing.T, log string) (sum int) {
	t.Helper()
	count := regexp.MustCompile(`were left out" count=(\d+)`)
	for _, match := range count.FindAllStringSubmatch(log, -1) {
		n := 0
		_, err := fmt.Sscan(match[1], &n)
		assert.NoError(t, err)
		sum += n
	}
	return sum
}

// assertRate: in any second there are at most 10 lines about requests and one with
// a number.
func assertRate(t *testing.T, log string) {
	t.Helper()
	var rejected, counted []time.Time
	for line := range strings.Lines(log) {
		text, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		at, err := time.Parse(time.RFC3339Nano, text)
		assert.NoError(t, err)
		if strings.Contains(line, "were left out") {
			counted = append(counted, at)
		} else {
			rejected = append(rejected, at)
		}
	}
	for i := 10; i < len(rejected); i++ {
		assert.GreaterOrEqual(t, rejected[i].Sub(rejected[i-10]), time.Second)
	}
	for i := 1; i < len(counted); i++ {
		assert.GreaterOrEqual(t, counted[i].Sub(counted[i-1]), time.Second)
	}
}

// TestLogFloodOfReplays: a stranger can have Google sign an event of their own, and
// send it again and again.
func TestLogFloodOfReplays(t *testing.T) {
	for result, err := range map[geminihook.Result]error{
		geminihook.Forbidden: geminihook.ErrForbidden,
		geminihook.Ignored:   geminihook.Permanent(errDisk),
	} {
		t.Run(string(result), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &geminihook.Endpoint{}
				e.Authorize = func(context.Context, *geminihook.Event) error { return err }
				o := observe(t, e)
				h := e.Handler(succeed)
				d := newBatch()
				for range 1000 {
					h.ServeHTTP(&discard{header: http.Header{}}, d.Request("/"))
					assert.Equal(t, result, o.next().Result)
				}
				assert.Equal(t, 10, countLines(o.log(), "result="+string(result)))
				letPass(time.Second)
				flood(h, 1, 0)
				assert.Equal(t, 990, leftOut(t, o.log()))
			})
		})
	}
}

// TestLogOfVerified: no line about a verified and authorized event is left out.
func TestLogOfVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &geminihook.Endpoint{}
		o := observe(t, e)
		h := e.Handler(failWith(errDisk))
		flood(h, 100, 0)
		for range 50 {
			h.ServeHTTP(&discard{header: http.Header{}}, newBatch().Request("/"))
			e.Process(t.Context(), newEvent(t), succeed)
		}
		assert.Equal(t, 50, strings.Count(o.log(), "result=failed"))
		assert.Equal(t, 1, strings.Count(o.log(), "result=processed"))
		assert.Equal(t, 49, strings.Count(o.log(), "result=duplicate"))
	})
}
