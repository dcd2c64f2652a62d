package main

import (
	"context"
	"net"
	"sync/atomic"
)

// wire counts what passes between a driver and its server. A round trip is a read
// that follows a write.
type wire struct{ trips, sent, received atomic.Int64 }

// dial connects and counts.
func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn, wire: w}, nil
}

// dial connects and counts nothing.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (w *wire) reset() {
	w.trips.Store(0)
	w.sent.Store(0)
	w.received.Store(0)
}

type countedConn struct {
	net.Conn
	wire  *wire
	wrote atomic.Bool
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.wrote.Store(true)
	n, err := c.Conn.Write(b)
	c.wire.sent.Add(int64(n))
	return n, err
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wire.received.Add(int64(n))
	if n > 0 && c.wrote.Swap(false) {
		c.wire.trips.Add(1)
	}
	return n, err
}
