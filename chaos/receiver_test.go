package chaos_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// The environment of a receiver process.
const (
	kindVariable    = "CHAOS_STORE"
	urlVariable     = "CHAOS_URL"
	addrVariable    = "CHAOS_ADDR"
	journalVariable = "CHAOS_JOURNAL"

	inheritsVariable = "CHAOS_INHERITS" // if it is set, the process inherits its listener
)

const lease = time.Second // far above a run, and short enough to wait for

// receive is the receiver's main: a server that lives until it is killed or its
// parent is gone.
func receive(kind string) error {
	s, err := openStore(context.Background(), kind, os.Getenv(urlVariable))
	if err != nil {
		return err
	}
	journal, err := openJournal(os.Getenv(journalVariable))
	if err != nil {
		return err
	}
	endpoint, err := newEndpoint(s)
	if err != nil {
		return err
	}
	endpoint.Observe = journal.observe
	return serve(endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		return journal.run(ev.ID, func() error {
			<-time.After(time.Duration(rand.IntN(30)) * time.Millisecond) // the work
			return s.effect(ctx, ev.ID)
		})
	}))
}

func newEndpoint(s opened) (*geminihook.Endpoint, error) {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	return &geminihook.Endpoint{
		Verifier:     verifier,
		Store:        s.store,
		Transactor:   s.transactor,
		Lease:        lease,
		StoreTimeout: lease / 2,
		Logger:       slog.New(slog.DiscardHandler),
	}, err
}

// serve serves until the process is killed or its parent is gone.
func serve(handler http.Handler) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	listener, err := listen()
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// listen listens on the address, or returns the listener that the parent has opened.
func listen() (net.Listener, error) {
	if os.Getenv(inheritsVariable) == "" {
		return net.Listen("tcp", os.Getenv(addrVariable))
	}
	return net.FileListener(os.NewFile(3, "listener")) // the first after the standard ones
}
