package geminihook_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	dayLength   = 40 * time.Hour
	causeMinute = 8 * 60 // when the incident begins
)

func minutes(d time.Duration) int { return int(d / time.Minute) }

// day is two days of a program with metrics, which Prometheus scrapes once per
// minute. An event arrives every 20 minutes.
type day struct {
	t       *testing.T
	metrics *metrics
	secrets *geminihook.SecretFile
	handler http.Handler
	log     observer        // of the endpoint, for Cloud Logging
	ctx     context.Context // ends with the day
	sending sync.WaitGroup

	mu    sync.Mutex
	state state
}

// state is what an incident changes.
type state struct {
	fn       function
	store    func(ctx context.Context, method string) error // see hookedStore
	proxy    int                                            // the status of a proxy's response
	quiet    bool                                           // whether no events arrive
	keysAway bool                                           // whether no keys can be fetched

	signer     webhooktest.Signer // this and what follows: of the sender
	duplicates float64
	giveUp     time.Duration
}

func (d *day) set(change func(s *state)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.state)
}

func (d *day) now() state {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

func newDay(t *testing.T, runTimeout time.Duration) *day {
	d := &day{t: t, metrics: newMetrics(), state: state{fn: succeed, signer: signer}}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	d.secrets = &geminihook.SecretFile{Path: filepath.Join(t.TempDir(), "secrets"), Logger: quiet}
	require.NoError(t, os.WriteFile(d.secrets.Path, []byte(webhooktest.TestSecret), 0o600))
	keys := &geminihook.KeySet{Logger: quiet, Client: &http.Client{Transport: d}}
	recorder := &record.Recorder{Dir: t.TempDir(), Logger: quiet}
	d.addGauges(recorder, keys)
	options := &slog.HandlerOptions{ReplaceAttr: cloudLogging}
	endpoint := &geminihook.Endpoint{
		Verifier: geminihook.AnyOf(d.secrets, keys), RunTimeout: runTimeout,
		Logger: slog.New(slog.NewJSONHandler(&d.log, options)),
		Store: &hookedStore{before: func(ctx context.Context, method string) error {
			if hook := d.now().store; hook != nil {
				return hook(ctx, method)
			}
			return nil
		}},
		Authorize: func(_ context.Context, ev *geminihook.Event) error {
			if ev.JobID() == "batches/theirs" {
				return geminihook.Permanent(errNotFound)
			}
			return nil
		},
		Observe: func(ctx context.Context, o geminihook.Outcome) {
			d.metrics.observe(ctx, o)
			recorder.Observe(ctx, o)
		},
	}
	fn := func(ctx context.Context, ev *geminihook.Event) error { return d.now().fn(ctx, ev) }
	d.handler = endpoint.Handler(d.metrics.watch(fn))
	return d
}

// addGauges adds those of the guide.
func (d *day) addGauges(recorder *record.Recorder, keys *geminihook.KeySet) {
	d.metrics.gauges["gemini_webhooks_recorded"] = func() float64 {
		files, err := filepath.Glob(filepath.Join(recorder.Dir, "failed-*.http"))
		assert.NoError(d.t, err)
		return float64(len(files))
	}
	d.metrics.gauges["gemini_keys_fetch_failures"] = func() float64 {
		_ = keys.Refresh(d.ctx) // as a readiness check does
		return float64(keys.Status().Failures)
	}
	d.metrics.gauges["gemini_secrets_read_failures"] = func() float64 {
		_ = d.secrets.Refresh(d.ctx)
		return float64(d.secrets.Status().Failures)
	}
}

// run lets the day pass, and returns what was scraped.
func (d *day) run(cause func(d *day)) (samples []sample) {
	ctx, end := context.WithCancel(d.t.Context())
	d.ctx = ctx
	for minute := range minutes(dayLength) {
		if minute == causeMinute {
			d.sending.Go(func() { cause(d) })
		}
		if minute%20 == 0 && !d.now().quiet {
			d.deliver(fmt.Sprint("batches/minute-", minute))
		}
		samples = append(samples, d.metrics.all())
		letPass(time.Minute)
	}
	end()
	d.sending.Wait()
	letPass(5 * time.Minute) // until the last runs have ended
	return samples
}

// deliver begins to deliver an event about the job, as Google does.
func (d *day) deliver(job string) {
	s := d.now()
	sender := &webhooktest.Sender{
		Handler: d, Signers: []webhooktest.Signer{s.signer}, Duplicates: s.duplicates, GiveUp: s.giveUp,
	}
	delivery := webhooktest.NewData(&geminihook.BatchSucceeded{ID: job})
	d.sending.Go(func() { _, _ = sender.Deliver(d.ctx, delivery) })
}

// hang is a function that ignores its context.
func (d *day) hang(context.Context, *geminihook.Event) error {
	<-d.ctx.Done()
	return nil
}

// ServeHTTP is the proxy. Over a network, the program does not know when the sender
// will hang up.
func (d *day) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status := d.now().proxy; status != 0 {
		w.WriteHeader(status)
		return
	}
	d.handler.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
}

// RoundTrip fetches the key set.
func (d *day) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.now().keysAway {
		return nil, errStoreAway
	}
	set := webhooktest.JWKS(webhooktest.Public(webhooktest.Key(1)))
	body := io.NopCloser(bytes.NewReader(set))
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: body}, nil
}
