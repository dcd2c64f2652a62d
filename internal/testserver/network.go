package testserver

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// RoundTrips counts the round trips of a client: each read that follows a write.
// The zero RoundTrips is ready to use; give Dial to the driver.
type RoundTrips struct{ n atomic.Int64 }

// Count returns the round trips since the last call of Count.
func (r *RoundTrips) Count() int { return int(r.n.Swap(0)) }

// Dial connects and counts.
func (r *RoundTrips) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn, n: &r.n}, nil
}

type countedConn struct {
	net.Conn
	n     *atomic.Int64
	wrote atomic.Bool
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.wrote.Store(true)
	return c.Conn.Write(b)
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.wrote.Swap(false) {
		c.n.Add(1)
	}
	return n, err
}

// A Proxy stands between a driver and a server, and cuts, holds or slows the
// traffic.
type Proxy struct {
	Addr string // where it listens

	target   string
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	held     chan struct{} // closed by release; nil while nothing is held
	delay    time.Duration
}

// NewProxy starts a proxy to the address, which ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		Addr: l.Addr().String(), target: target, listener: l, conns: map[net.Conn]struct{}{},
	}
	t.Cleanup(p.Close)
	go p.serve()
	return p
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.forward(client)
	}
}

func (p *Proxy) forward(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	pass := func(from, to net.Conn) {
		_, _ = io.Copy(to, &gate{Conn: from, proxy: p}) // until either end closes
		_ = client.Close()
		_ = server.Close()
	}
	var both sync.WaitGroup
	both.Go(func() { pass(client, server) })
	both.Go(func() { pass(server, client) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// gate delays what it has read, and holds it back for as long as the proxy holds
// the traffic.
type gate struct {
	net.Conn
	proxy *Proxy
}

func (g *gate) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.proxy.mu.Lock()
	held, delay := g.proxy.held, g.proxy.delay
	g.proxy.mu.Unlock()
	if delay > 0 {
		<-time.After(delay)
	}
	if held != nil {
		<-held
	}
	return n, err
}

// Cut closes the open connections. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// Hold holds all bytes back until the returned function is called, like a server
// that hangs.
func (p *Proxy) Hold() (release func()) {
	held := make(chan struct{})
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	return sync.OnceFunc(func() {
		p.mu.Lock()
		p.held = nil
		p.mu.Unlock()
		close(held)
	})
}

// Slow delays all bytes, in both directions. Zero makes the proxy fast again.
func (p *Proxy) Slow(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Cut()
}
