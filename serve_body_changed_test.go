package geminihook_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBodyReadBefore: if something has read the body before the endpoint, the
// error says so. The signature alone decides.
func TestBodyReadBefore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		read    int64
		chunked bool
		reason  string // empty if the error says nothing of it
	}{
		{"not at all", 0, false, ""},
		{"partly", 10, false, "99 bytes of a request with Content-Length 109"},
		{"one byte", 1, false, "108 bytes of a request with Content-Length 109"},
		{"wholly", 1 << 20, false, "0 bytes of a request with Content-Length 109"},
		{"partly, chunked", 10, true, ""},
		{"wholly, chunked", 1 << 20, true, "0 bytes of a request with no Content-Length"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &geminihook.Endpoint{}
			o := observe(t, e)
			next := e.Handler(succeed)
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.CopyN(io.Discard, r.Body, tt.read)
				assert.True(t, err == nil || errors.Is(err, io.EOF))
				next.ServeHTTP(w, r)
			}))
			d := webhooktest.New(geminihook.EventBatchExpired, signer).WrongSecret()
			require.Len(t, d.Body, 109)
			req, err := d.ClientRequest(s.url)
			require.NoError(t, err)
			if tt.chunked {
				req.ContentLength, req.Body = -1, io.NopCloser(bytes.NewReader(d.Body))
			}
			assert.Equal(t, 400, s.do(t, req).status)
			out := o.next()
			require.ErrorIs(t, out.Err, geminihook.ErrSignature)
			if tt.reason == "" {
				assert.NotContains(t, out.Err.Error(), "Content-Length")
			} else {
				assert.ErrorContains(t, out.Err, tt.reason)
				assert.ErrorContains(t, out.Err, "something read or changed the body")
			}
		})
	}
}

// TestDecompressedBody: a middleware decompresses the body and leaves
// Content-Length as it was, as gin-contrib/gzip does.
func TestDecompressedBody(t *testing.T) {
	e := &geminihook.Endpoint{}
	o := observe(t, e)
	next := e.Handler(succeed)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain, err := gzip.NewReader(r.Body)
		if assert.NoError(t, err) {
			r.Body = io.NopCloser(plain)
			next.ServeHTTP(w, r)
		}
	}))
	for name, d := range map[string]*webhooktest.Delivery{
		"longer compressed":  webhooktest.New(geminihook.EventBatchExpired, signer),
		"shorter compressed": newBatch().Oversized(100_000),
	} {
		t.Run(name, func(t *testing.T) {
			var compressed bytes.Buffer
			zip := gzip.NewWriter(&compressed)
			_, err := zip.Write(d.Body)
			require.NoError(t, err)
			require.NoError(t, zip.Close())
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.url, &compressed)
			require.NoError(t, err)
			require.NotEqual(t, int64(len(d.Body)), req.ContentLength)
			req.Header = d.Header.Clone()
			assert.Equal(t, 200, s.do(t, req).status)
			assert.Equal(t, geminihook.Processed, o.next().Result)
		})
	}
}
