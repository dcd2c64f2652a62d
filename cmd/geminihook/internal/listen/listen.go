// Package listen receives deliveries on one port, which a tunnel may expose, and
// shows them on a page on another, which only this machine can reach. It is what
// "geminihook listen" runs.
//
// A delivery takes this path: receive.go reads and verifies it, files.go writes
// it to a file, store.go keeps it, forward.go passes it on to the local program,
// and stream.go tells the page, which api.go and page.go serve and security.go
// protects.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// ErrConfig is wrapped by the errors of [Start] that a change of the [Config]
// cures.
var ErrConfig = errors.New("listen: configuration")

// Config says where to listen and what to do with deliveries.
type Config struct {
	Addr    string // where deliveries arrive, as in net.Listen
	UI      string // where the page is served; must be a loopback address
	Forward string // the URL of the local program; empty responds with 200 to genuine deliveries
	Dir     string // the folder for the files; empty writes none
	Token   string // with which the page is opened; empty makes a random one

	// Verifier decides which deliveries are genuine.
	Verifier geminihook.Verifier
	// Signers sign the replays of static deliveries that are signed again. If
	// there are none, deliveries can only be replayed unchanged.
	Signers []webhooktest.Signer
	// Explain returns the reasons for which a delivery was not accepted, in
	// words for the user. That takes work, of which a stranger who finds the tunnel must
	// not cause much: one delivery is explained at a time. Those that arrive meanwhile
	// are explained when the user opens them. Nil shows the text of the error.
	Explain func(ctx context.Context, r Refusal) []string
	// Observe is called after each request and each replay, one call at a time.
	// Nil calls nothing.
	Observe func(Notice)
	// Problem is called if a file cannot be written. Nil calls nothing.
	Problem func(error)
}

// Listener holds the two ports. Make one with [Start].
type Listener struct {
	receive, page net.Listener
	servers       [2]*http.Server
	access        access
	stop          context.CancelFunc // ends streams, waits, and forwarded requests
}

// Start listens on both ports. Call [Listener.Serve] to serve them. The error
// wraps [ErrConfig] if an address or the URL is unsuitable.
func Start(cfg Config) (*Listener, error) {
	ui, err := loopback(cfg.UI)
	if err != nil {
		return nil, err
	}
	target, err := parseForward(cfg.Forward)
	if err != nil {
		return nil, err
	}
	files, err := newFiles(cfg.Dir)
	if err != nil {
		return nil, err
	}
	form, err := geminihook.ParseSecret(webhooktest.RandomSecret())
	if err != nil {
		return nil, err
	}
	l := &Listener{}
	if l.receive, err = net.Listen("tcp", cfg.Addr); err != nil {
		return nil, err
	}
	if l.page, err = net.Listen("tcp", ui); err != nil {
		_ = l.receive.Close()
		return nil, err
	}
	if err := l.noLoop(target); err != nil {
		l.close()
		return nil, err
	}
	if l.access, err = newAccess(cfg.Token, l.page.Addr().String()); err != nil {
		l.close()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	rec := &receiver{
		ctx: ctx, cfg: cfg, store: newStore(), files: files, faults: &faults{},
		forward:    newForwarder(target),
		endpoint:   &geminihook.Endpoint{Verifier: cfg.Verifier},
		form:       &geminihook.HMAC{Secrets: []geminihook.Secret{form}},
		bodies:     slots{limit: maxBodies},
		others:     slots{limit: maxOtherBodies},
		handling:   make(chan struct{}, maxRequests),
		explaining: make(chan struct{}, 1),
	}
	page := &page{
		ctx: ctx, receiver: rec, token: newToken(), access: l.access, receiveURL: l.ReceiveURL(),
		signing: len(cfg.Signers) > 0,
		streams: make(chan struct{}, maxStreams),
	}
	l.servers = [2]*http.Server{
		newServer(rec),
		newServer(protect(page.routes(), l.page.Addr().String(), page.token, l.access)),
	}
	return l, nil
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      forwardTimeout + maxDelay + 20*time.Second, // streams extend it
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
}

// ReceiveURL is the URL to which deliveries are sent.
func (l *Listener) ReceiveURL() string { return "http://" + l.receive.Addr().String() + "/" }

// PageURL is the URL of the page, which needs a token: see [Listener.OpenURL].
func (l *Listener) PageURL() string { return "http://" + l.page.Addr().String() + "/" }

// OpenURL is the URL with which the user opens the page: with the token.
func (l *Listener) OpenURL() string { return l.PageURL() + "?token=" + l.access.token }

// Serve serves both ports until the context ends, and returns nil then.
func (l *Listener) Serve(ctx context.Context) error {
	served := make(chan error, len(l.servers))
	go func() { served <- l.servers[0].Serve(l.receive) }()
	go func() { served <- l.servers[1].Serve(l.page) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	l.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for _, s := range l.servers {
		if s.Shutdown(grace) != nil {
			_ = s.Close() // whoever is still connected has had its time
		}
	}
	return err
}

func (l *Listener) close() {
	_ = l.receive.Close()
	_ = l.page.Close()
}

// loopback resolves the address of the page and refuses any that other machines
// could reach. The result is an IP address, so that what was checked is what is
// listened on.
func loopback(addr string) (string, error) {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("%w: -ui: %w", ErrConfig, err)
	}
	if !resolved.IP.IsLoopback() {
		return "", fmt.Errorf("%w: -ui must be a loopback address such as 127.0.0.1:8091: the page shows deliveries and must not be reachable from other machines",
			ErrConfig)
	}
	return resolved.String(), nil
}

// parseForward parses the URL of the local program. Empty gives nil.
func parseForward(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	target, err := url.Parse(text)
	if err != nil || target.Host == "" || (target.Scheme != "http" && target.Scheme != "https") {
		return nil, fmt.Errorf("%w: -forward must be a URL that begins with http:// or https://",
			ErrConfig)
	}
	return target, nil
}

// noLoop refuses to forward deliveries to the listener itself, which would
// receive and forward them again.
func (l *Listener) noLoop(target *url.URL) error {
	if target == nil {
		return nil
	}
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(target.Hostname(), target.Port()))
	if err != nil || target.Port() == "" {
		return nil // not yet there, or not one of these ports
	}
	for _, own := range []net.Listener{l.receive, l.page} {
		at := own.Addr().(*net.TCPAddr)
		sameHost := at.IP.Equal(addr.IP) || at.IP.IsUnspecified() || addr.IP == nil
		if at.Port == addr.Port && sameHost {
			return fmt.Errorf("%w: -forward must be the URL of another program, not that of this one",
				ErrConfig)
		}
	}
	return nil
}
