package chaos_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"google.golang.org/genai"
)

// More of the environment of a process that also sweeps.
const (
	apiVariable   = "CHAOS_API"
	clockVariable = "CHAOS_CLOCK"
	nameVariable  = "CHAOS_NAME"
)

// sweepLease is far above a run even on a machine that is very busy: a lease that
// ends during a run is a second cause of extra runs.
const sweepLease = 15 * time.Second

// sweep is the main of a process that receives and sweeps, until it is killed or
// its parent is gone.
func sweep(kind string) error {
	ctx := context.Background()
	l, err := openLedger(ctx, kind, os.Getenv(urlVariable))
	if err != nil {
		return err
	}
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	if err != nil {
		return err
	}
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		Backend: genai.BackendGeminiAPI, APIKey: fakeapi.Key,
		HTTPOptions: genai.HTTPOptions{BaseURL: os.Getenv(apiVariable)},
	})
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	now := func() time.Time { return shifted(os.Getenv(clockVariable)) }
	endpoint := &geminihook.Endpoint{
		Verifier: &geminihook.HMAC{Secrets: []geminihook.Secret{secret}, Now: now},
		Store:    l.store, Transactor: l.transactor, Key: geminihook.ByJob,
		Authorize: l.table.Authorize,
		Lease:     sweepLease, StoreTimeout: sweepLease / 2, Logger: quiet,
	}
	l.table.Now = now
	handle := func(ctx context.Context, ev *geminihook.Event) error {
		if !ev.EndsJob() {
			return nil
		}
		if _, err := jobs.Fetch(ctx, client, ev); err != nil {
			return err
		}
		<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond) // the work
		return l.effect(ctx, ev, os.Getenv(nameVariable))
	}
	catchUp := &jobs.CatchUp{
		Client: client, Endpoint: endpoint, Waiting: l.table.Waiting, Handle: handle,
		Grace: grace, Interval: 300 * time.Millisecond, PerSecond: 500, Now: now, Logger: quiet,
	}
	go func() {
		fmt.Fprintln(os.Stderr, catchUp.Run(ctx))
		os.Exit(1)
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server := &http.Server{
		Addr: os.Getenv(addrVariable), Handler: endpoint.Handler(handle),
		ReadHeaderTimeout: 5 * time.Second,
	}
	return server.ListenAndServe()
}

// grace leaves half of the jobs to the webhooks until the clock is set forward.
const grace = time.Hour

// shifted is the injected clock: a file has how far it is ahead.
func shifted(file string) time.Time {
	text, _ := os.ReadFile(file)
	ahead, err := time.ParseDuration(string(text))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead)
}
