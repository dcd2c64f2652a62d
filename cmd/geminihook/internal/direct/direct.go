// Package direct sends a delivery to an endpoint, once, and misses no response.
package direct

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// NewClient returns a client that uses the transport, which it changes.
//
//   - It follows no redirects, because their target would get a delivery with a valid
//     signature.
//   - It opens a connection for each request of HTTP/1. The endpoint may close an idle
//     one just when a request is written to it, and a POST request cannot be sent again.
//   - It returns the response of an endpoint that responds and closes the connection
//     before it has read the request, for example because the body is too large.
func NewClient(transport *http.Transport) *http.Client {
	dial := transport.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport.MaxIdleConnsPerHost = -1 // DisableKeepAlives would add a header
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn{c}, nil
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// conn hides that a write failed. After a failed write, [http.Transport] would close
// the connection, even if the response has already arrived. Without one, it reads the
// response, or else the reason why there is none.
type conn struct{ net.Conn }

func (c conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return len(p), nil
	}
	return n, err
}
