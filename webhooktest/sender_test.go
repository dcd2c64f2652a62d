package webhooktest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var signer = webhooktest.Static(webhooktest.TestSecret)

func endpoint(t testing.TB) *geminihook.Endpoint {
	t.Helper()
	v, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	return &geminihook.Endpoint{Verifier: v}
}

// TestSenderLosesNothing checks that a receiver that crashes, stalls, and fails
// gets every event within 24 hours, and succeeds with each exactly once.
func TestSenderLosesNothing(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			const events = 200
			var mu sync.Mutex
			chance := rand.New(rand.NewPCG(seed, 1))
			succeeded := map[string]int{}
			start := time.Now()
			handler := endpoint(t).Handler(func(_ context.Context, ev *geminihook.Event) error {
				mu.Lock()
				luck := chance.Float64()
				mu.Unlock()
				switch {
				case time.Since(start) < 3*time.Hour && luck < 0.9:
					return errors.New("the database is unavailable")
				case luck < 0.2:
					panic("bug")
				case luck < 0.4:
					// Longer than the sender waits.
					<-time.After(time.Duration(luck * float64(time.Minute)))
				}
				mu.Lock()
				defer mu.Unlock()
				succeeded[ev.ID]++
				return nil
			})
			s := &webhooktest.Sender{
				Handler: handler, Signers: []webhooktest.Signer{signer}, Concurrency: events,
				Duplicates: 0.3, HangUps: 0.2, Reorder: true, Rand: rand.New(rand.NewPCG(seed, 2)),
			}
			deliveries := make([]*webhooktest.Delivery, events)
			for i := range deliveries {
				deliveries[i] = webhooktest.New(geminihook.EventBatchSucceeded)
			}
			report, err := s.Deliver(t.Context(), deliveries...)
			require.NoError(t, err)
			synctest.Wait()
			assert.Empty(t, report.Lost)
			assert.Len(t, report.Delivered, events)
			assert.Greater(t, len(report.Attempts), 2*events)
			for _, d := range deliveries {
				assert.Equal(t, 1, succeeded[d.ID()], "runs to success")
			}
			assert.Less(t, time.Since(start), 24*time.Hour)
		})
	}
}

// TestSenderAttempts checks that all attempts have the same id, a fresh timestamp
// and signature, and growing waits, until the sender gives up.
func TestSenderAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endpoint(t)
		signatures := map[string]bool{}
		unavailable := func(w http.ResponseWriter, r *http.Request) {
			ev, err := e.Receive(w, r)
			assert.NoError(t, err)
			assert.Equal(t, time.Now().Unix(), ev.SentAt.Unix(), "signed again")
			signatures[r.Header.Get("webhook-signature")] = true
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		s := &webhooktest.Sender{
			Signers: []webhooktest.Signer{signer}, Handler: http.HandlerFunc(unavailable),
		}
		seen := 0
		s.Observe = func(a webhooktest.Attempt) { seen++; assert.Equal(t, seen, a.Number) }
		d := webhooktest.New(geminihook.EventBatchFailed)
		report, err := s.Deliver(t.Context(), d)
		require.NoError(t, err)
		assert.Equal(t, []string{d.ID()}, report.Lost)
		assert.Len(t, signatures, len(report.Attempts))
		assert.Equal(t, seen, len(report.Attempts))
		last := report.Attempts[len(report.Attempts)-1]
		first := report.Attempts[0]
		assert.Greater(t, last.At.Sub(first.At), 23*time.Hour)
		assert.LessOrEqual(t, last.At.Sub(first.At), 24*time.Hour)
		for i := 1; i < len(report.Attempts); i++ {
			a := report.Attempts[i]
			assert.Equal(t, d.ID(), a.ID)
			assert.Equal(t, 503, a.Status)
			wait := a.At.Sub(report.Attempts[i-1].At)
			assert.GreaterOrEqual(t, wait, 2500*time.Millisecond)
			assert.LessOrEqual(t, wait, time.Hour)
		}
	})
}

func TestSenderTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		slow := func(_ http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 {
				<-r.Context().Done()
			}
		}
		s := &webhooktest.Sender{Handler: http.HandlerFunc(slow)}
		report, err := s.Deliver(t.Context(), webhooktest.New(geminihook.EventBatchFailed, signer))
		require.NoError(t, err)
		require.Len(t, report.Attempts, 2)
		assert.ErrorIs(t, report.Attempts[0].Err, context.DeadlineExceeded)
		assert.Equal(t, 10*time.Second, report.Attempts[0].Elapsed)
		assert.True(t, report.Attempts[1].Acknowledged())
	})
}

func TestSenderEnds(t *testing.T) {
	_, err := (&webhooktest.Sender{}).Deliver(t.Context())
	require.ErrorContains(t, err, "neither URL nor Handler")

	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := &webhooktest.Sender{Handler: http.NotFoundHandler()}
		d := webhooktest.New(geminihook.EventBatchFailed, signer)
		report, err := s.Deliver(ctx, d)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{d.ID()}, report.Lost)
	})

	one := &webhooktest.Sender{Handler: http.NotFoundHandler(), GiveUp: -1}
	report, err := one.Deliver(t.Context(), webhooktest.New(geminihook.EventBatchFailed, signer))
	require.NoError(t, err)
	assert.Len(t, report.Attempts, 1)
}

// TestSenderKeepsFaults checks that a Sender does not sign a faulty delivery
// again, and thereby make it genuine.
func TestSenderKeepsFaults(t *testing.T) {
	good := webhooktest.New(geminihook.EventBatchFailed, signer)
	s := &webhooktest.Sender{
		Handler: endpoint(t).Handler(func(context.Context, *geminihook.Event) error { return nil }),
		Signers: []webhooktest.Signer{signer}, GiveUp: -1,
	}
	for name, d := range map[string]*webhooktest.Delivery{
		"tampered":     good.Tampered(),
		"stale":        good.Stale(),
		"future":       good.Future(),
		"wrong secret": good.WrongSecret(),
	} {
		report, err := s.Deliver(t.Context(), d)
		require.NoError(t, err)
		assert.Equal(t, 400, report.Attempts[0].Status, name)
	}
	repaired := good.Stale().Sign(time.Now().Add(-time.Hour))
	report, err := s.Deliver(t.Context(), repaired)
	require.NoError(t, err)
	assert.Equal(t, 200, report.Attempts[0].Status, "signed by the caller: no longer a variant")
}

// TestSenderToRouter checks that a Handler gets the requests at the URL.
func TestSenderToRouter(t *testing.T) {
	router := http.NewServeMux()
	router.HandleFunc("POST /gemini/{tenant}", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "acme 1", r.PathValue("tenant")+" "+r.FormValue("n"))
	})
	router.HandleFunc("POST hooks.example.com/{$}", func(http.ResponseWriter, *http.Request) {})
	for url, want := range map[string]int{
		"/gemini/acme?n=1":                    200,
		"https://example.com/gemini/acme?n=1": 200,
		"http://hooks.example.com":            200,
		"/elsewhere":                          404,
		"":                                    404,
	} {
		s := &webhooktest.Sender{Handler: router, URL: url, GiveUp: -1}
		report, err := s.Deliver(t.Context(), webhooktest.New("x", signer))
		require.NoError(t, err)
		assert.Equal(t, want, report.Attempts[0].Status, url)
	}
	_, err := (&webhooktest.Sender{Handler: router, URL: "gemini"}).Deliver(t.Context())
	require.ErrorContains(t, err, "Sender.URL")
}

// TestSenderObserve checks that Observe may deliver, as a receiver's next step
// does, and is called one at a time.
func TestSenderObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		seen := 0
		accept := func(http.ResponseWriter, *http.Request) {}
		s := &webhooktest.Sender{Handler: http.HandlerFunc(accept), HangUps: 0.5}
		s.Observe = func(a webhooktest.Attempt) {
			assert.EqualValues(t, 1, running.Add(1))
			synctest.Wait() // until the others wait for their turn
			seen++
			running.Add(-1)
			if a.Acknowledged() && seen < 100 {
				_, err := s.Deliver(t.Context(), webhooktest.New("next", signer))
				assert.NoError(t, err)
			}
		}
		x, y := webhooktest.New("x", signer), webhooktest.New("y", signer)
		_, err := s.Deliver(t.Context(), x, y, webhooktest.New("z", signer))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, seen, 100)
	})
}

// TestSenderOverHTTP delivers to a real server that crashes at first.
func TestSenderOverHTTP(t *testing.T) {
	e := endpoint(t)
	runs := map[string]int{}
	var mu sync.Mutex
	crash := func(_ context.Context, ev *geminihook.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if runs[ev.ID]++; ev.Attempt == 1 {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	srv := httptest.NewUnstartedServer(e.Handler(crash))
	srv.Start()
	defer srv.Close()
	s := &webhooktest.Sender{
		URL: srv.URL, Signers: []webhooktest.Signer{signer},
		FirstRetry: time.Millisecond, Duplicates: 1,
	}
	a := webhooktest.New(geminihook.EventBatchFailed)
	b := webhooktest.New(geminihook.EventVideoGenerated)
	report, err := s.Deliver(t.Context(), a, b)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{a.ID(), b.ID()}, report.Delivered)
	for _, d := range []*webhooktest.Delivery{a, b} {
		assert.Equal(t, 2, runs[d.ID()], "one run that crashed and one that succeeded")
	}
}

// TestSenderRedirect checks that a redirect is a failed attempt, and that its
// target gets nothing.
func TestSenderRedirect(t *testing.T) {
	var stolen atomic.Int64
	steal := func(http.ResponseWriter, *http.Request) { stolen.Add(1) }
	thief := httptest.NewServer(http.HandlerFunc(steal))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := http.RedirectHandler(thief.URL+"/elsewhere", status)
		srv := httptest.NewServer(redirect)
		defer srv.Close()
		follow := func(*http.Request, []*http.Request) error { return nil }
		for name, s := range map[string]*webhooktest.Sender{
			"over HTTP":       {URL: srv.URL},
			"with own client": {URL: srv.URL, Client: &http.Client{CheckRedirect: follow}},
			"in process":      {Handler: redirect},
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				s.GiveUp = -1
				d := webhooktest.New(geminihook.EventBatchFailed, signer)
				report, err := s.Deliver(t.Context(), d)
				require.NoError(t, err)
				assert.Equal(t, []string{d.ID()}, report.Lost)
				require.Len(t, report.Attempts, 1)
				a := report.Attempts[0]
				assert.Equal(t, status, a.Status)
				assert.False(t, a.Acknowledged())
				require.ErrorContains(t, a.Err, "not follow redirects")
				require.ErrorContains(t, a.Err, thief.URL)
				if s.Client != nil {
					assert.NoError(t, s.Client.CheckRedirect(nil, nil), "the client is unchanged")
				}
			})
		}
	}
	assert.Zero(t, stolen.Load())
}
