package geminihook_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// pipeListener is a network inside the test's bubble, where synctest's clock
// holds: each dial is a net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// servePipe is serve inside a synctest bubble.
func servePipe(t testing.TB, h http.Handler) *server {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = srv.Serve(l) }()
	s := &server{
		url:    "http://receiver.example",
		client: &http.Client{Transport: &http.Transport{DialContext: l.dial}},
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		_ = srv.Close()
		letPass(time.Second) // net/http closes some connections half a second late
	})
	return s
}

// newStalledBody is a body of which nothing comes after the start. Call end when the
// test needs it no longer.
func newStalledBody(start []byte) (body io.ReadCloser, end func()) {
	r, w := io.Pipe()
	go func() { _, _ = w.Write(start) }()
	return r, func() { _ = w.CloseWithError(io.ErrUnexpectedEOF) }
}
