package webhooktest_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

func TestLoadErrors(t *testing.T) {
	for name, fsys := range map[string]fstest.MapFS{
		`no file matches "*.http"`: {},
		"x.http: not an HTTP":      {"x.http": {Data: []byte("hello")}},
		"shorter than its Content": {"x.http": {Data: []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{}")}},
	} {
		_, err := webhooktest.Load(fsys, "*.http")
		require.ErrorContains(t, err, name)
	}
	_, err := webhooktest.Load(fstest.MapFS{}, "[")
	require.Error(t, err)
}

// FuzzWriteRead checks that Read returns what Write has written.
func FuzzWriteRead(f *testing.F) {
	f.Add("msg_1", "1779364800", "v1,AAAA v1a,BBBB", []byte(`{"type":"x"}`))
	f.Add("", "", "", []byte(nil))
	f.Add("a:b", " ", "GET / HTTP/1.1", []byte("\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		d := &webhooktest.Delivery{Header: http.Header{}, Body: body}
		for name, value := range map[string]string{"Webhook-Id": id, "Webhook-Timestamp": timestamp, "Webhook-Signature": signature} {
			if value != strings.TrimSpace(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return // not a header value on the wire
			}
			d.Header.Set(name, value)
		}
		var b bytes.Buffer
		require.NoError(t, d.Write(&b))
		got, err := webhooktest.Read(&b)
		require.NoError(t, err)
		require.Equal(t, d.Header, got.Header)
		require.True(t, bytes.Equal(d.Body, got.Body))
	})
}
