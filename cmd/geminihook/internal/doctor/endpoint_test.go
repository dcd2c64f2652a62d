package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// check tests an endpoint and returns the results. By its clock, every response takes
// no time.
func check(t *testing.T, h http.Handler, secrets ...string) []doctor.Result {
	t.Helper()
	return checkBy(t, func() time.Time { return time.Time{} }, h, secrets...)
}

// checkBy is like check with the given clock.
func checkBy(
	t *testing.T, now func() time.Time, h http.Handler, secrets ...string,
) (results []doctor.Result) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	endpoint := &doctor.Endpoint{
		URL: server.URL, Secrets: secrets, Timeout: time.Minute, Now: now,
	}
	endpoint.Check(t.Context(), func(r doctor.Result) { results = append(results, r) })
	return results
}

// names returns the names of the checks with one of the levels.
func names(results []doctor.Result, levels ...doctor.Level) string {
	var all []string
	for _, r := range results {
		for _, l := range levels {
			if r.Level == l {
				all = append(all, r.Check)
			}
		}
	}
	return strings.Join(all, "; ")
}

// TestHoles: the holes that can be seen from outside are found by name, and
// nothing else is.
func TestHoles(t *testing.T) {
	empty, public := "", webhooktest.TestSecret
	for _, tt := range []struct {
		name               string
		holes              holes
		failures, warnings string // the names of the checks, separated by "; "
	}{
		{"none", holes{}, "", ""},
		{"an empty secret is accepted", holes{secret: &empty}, "genuine delivery; empty secret", "duplicate"},
		{"a published secret is accepted", holes{secret: &public}, "genuine delivery; published secret", "duplicate"},
		{"timestamp formatted again", holes{reformats: true}, "timestamp with a plus sign; timestamp with zeros in front", ""},
		{"timestamps in the future pass", holes{future: true}, "future timestamp; largest timestamp", ""},
		{"no timestamp check", holes{anyTime: true}, "stale timestamp; future timestamp; smallest timestamp; largest timestamp", ""},
		{"difference overflows", holes{overflow: true}, "smallest timestamp", ""},
		{"no version prefix", holes{noPrefix: true}, "no version prefix", ""},
		{"any version", holes{anyVersion: true}, "unknown version; v1 signature as v1a", ""},
		{"substring", holes{substring: true}, "no version prefix; unknown version; v1 signature as v1a; signature inside another", ""},
		{"comparison of the beginning", holes{prefix: true}, "beginning of a signature; empty signature", ""},
		{"signature in the response", holes{leaks: true}, "responses reveal nothing", ""},
		{"secret in the response", holes{leaksSecret: true}, "responses reveal nothing", ""},
		{"secret in a response to a large body", holes{leaksLong: true}, "responses reveal nothing", ""},
		{"unbounded body", holes{unbounded: true}, "oversized body", ""},
		{"unknown type is an error", holes{unknownType: 500}, "genuine delivery", "duplicate"},
		{"unknown type is refused", holes{unknownType: 400}, "genuine delivery", "duplicate"},
		{"headers split at commas", holes{splits: true}, "genuine delivery", "duplicate"},
		{"only the first signature", holes{v1OfFirst: true}, "several signatures", ""},
		{"body encoded again", holes{reencodes: true}, "body in another form; body with another spacing", ""},
		{"no id needed", holes{noID: true}, "no webhook-id", ""},
		{"JWT with the algorithm none", holes{jwt: true}, "JWT without a signature", ""},
		{"strict body", holes{strict: true}, "unfamiliar body", ""},
		{"any body", holes{anyBody: true}, "body that is not JSON", ""},
		{"duplicate refused", holes{duplicate: 409}, "duplicate; two at once", ""},
		{"duplicate asked to come again", holes{duplicate: 503, hint: true}, "duplicate", ""},
		{"without Retry-After", holes{duplicate: 503}, "duplicate", "two at once"},
		{"GET accepted", holes{anyMethod: true, acceptsAll: true, anyBody: true}, everything, "GET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			results := check(t, &receiver{holes: tt.holes, seen: map[string]int{}}, shared)
			assert.Equal(t, tt.failures, names(results, doctor.Failure))
			assert.Equal(t, tt.warnings, names(results, doctor.Warning))
			for _, r := range results {
				assert.Equal(t, r.Level == doctor.OK, r.Do == "",
					"what is wrong has an advice: %+v", r)
			}
		})
	}
}

// everything lists the checks that fail if a receiver accepts everything.
const everything = "forged signature; changed body; body with another spacing; empty secret; published secret; " +
	"stale timestamp; future timestamp; smallest timestamp; largest timestamp; timestamp with a plus sign; " +
	"timestamp with zeros in front; no version prefix; unknown version; v1 signature as v1a; " +
	"signature inside another; beginning of a signature; empty signature; " +
	"JWT without a signature; no headers; no webhook-signature; no webhook-timestamp; no webhook-id; body that is not JSON"

// TestUnreached: without a response of the endpoint itself, no other check is made.
func TestUnreached(t *testing.T) {
	for status, want := range map[int]doctor.Level{
		301: doctor.Failure,
		404: doctor.Failure,
		405: doctor.Failure,
		502: doctor.Failure,
	} {
		results := check(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
		}), shared)
		require.Len(t, results, 1)
		assert.Equal(t, want, results[0].Level)
	}
	var stolen int
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		stolen++
	}))
	defer thief.Close()
	results := check(t, http.RedirectHandler(thief.URL, http.StatusPermanentRedirect), shared)
	require.Len(t, results, 1)
	assert.Contains(t, results[0].Text, "a redirect to "+thief.URL)
	assert.Zero(t, stolen)

	const closed = "http://127.0.0.1:1" // no system gives its port to a program
	results = nil
	(&doctor.Endpoint{URL: closed, Secrets: []string{shared}}).Check(t.Context(), func(r doctor.Result) { results = append(results, r) })
	assert.Equal(t, "genuine delivery", names(results, doctor.Failure))
	results = check(t, http.NotFoundHandler())
	assert.Equal(t, "endpoint", names(results, doctor.Warning), "without a secret")
}

// TestSlow: an endpoint that acknowledges too late is warned about.
func TestSlow(t *testing.T) {
	for elapsed, warnings := range map[time.Duration]string{
		5 * time.Second: "",
		6 * time.Second: "genuine delivery",
	} {
		var mu sync.Mutex
		var at time.Time
		now := func() time.Time { // each look at it is at the beginning or the end of a request
			mu.Lock()
			defer mu.Unlock()
			at = at.Add(elapsed)
			return at
		}
		results := checkBy(t, now, &receiver{seen: map[string]int{}}, shared)
		assert.Equal(t, warnings, names(results, doctor.Warning, doctor.Failure))
		if warnings != "" {
			assert.Contains(t, results[0].Text, "after 6s")
		}
	}
}

// TestForbidden: a 403 may be what the program wants.
func TestForbidden(t *testing.T) {
	results := check(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}), shared)
	assert.Equal(t, "genuine delivery", names(results[:1], doctor.Warning))
	assert.Empty(t, names(results, doctor.Failure))
}

// TestBadRequestFails: an endpoint that a stranger can make fail is named.
func TestBadRequestFails(t *testing.T) {
	results := check(t, &receiver{holes: holes{fails: 500}, seen: map[string]int{}}, shared)
	assert.Contains(t, names(results, doctor.Failure), "forged signature; changed body")
	results = check(t, &receiver{holes: holes{hangsUp: true}, seen: map[string]int{}}, shared)
	assert.Contains(t, names(results, doctor.Failure), "forged signature; changed body")
	results = check(t, &receiver{holes: holes{fails: 401}, seen: map[string]int{}}, shared)
	assert.Empty(t, names(results, doctor.Failure))
	assert.Contains(t, names(results, doctor.Warning), "forged signature; changed body")
}

// TestEarlyResponse: a response that the endpoint sends before it has read the whole
// body counts, even if the endpoint closes the connection at once, which makes the
// rest of the request fail.
func TestEarlyResponse(t *testing.T) {
	for range 20 {
		results := check(t, &receiver{holes: holes{hasty: true}, seen: map[string]int{}}, shared)
		assert.Empty(t, names(results, doctor.Failure, doctor.Warning))
	}
}

// TestSecrets: each configured secret is tried.
func TestSecrets(t *testing.T) {
	old := webhooktest.RandomSecret()
	results := check(t, &receiver{seen: map[string]int{}}, shared, old)
	assert.Equal(t, "secret whsec_..."+old[len(old)-4:], names(results, doctor.Warning))
}
