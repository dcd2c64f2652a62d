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
	const request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "
	for _, tt := range []struct {
		name string
		file string
		want string
	}{
		{"not a request", "hello", "x.http: not an HTTP request"},
		{"shorter", request + "5\r\n\r\n{}", "x.http: the body is shorter than its Content-Length"},
		{"shorter, because LF was CRLF", request + "4\r\n\r\n{\n}", `"*.http -text" into .gitattributes`},
		{"longer", request + "2\r\n\r\n{}\n", "x.http: 1 bytes are left over after the body, which has 2"},
		{"longer, because CRLF was LF", request + "3\r\n\r\n{\r\n}", `"*.http -text" into .gitattributes`},
		{"another request", request + "0\r\n\r\n" + request + "0\r\n\r\n", "47 bytes are left over"},
		{"no Content-Length", "POST / HTTP/1.1\r\nHost: x\r\n\r\n{}", "2 bytes are left over"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := fstest.MapFS{"x.http": {Data: []byte(tt.file)}}
			_, err := webhooktest.Load(fsys, "*.http")
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := webhooktest.Load(fstest.MapFS{}, "*.http")
	require.ErrorContains(t, err, `no file matches "*.http"`)
	_, err = webhooktest.Load(fstest.MapFS{}, "[")
	require.Error(t, err)
}

// TestReadCRLF: a recording that Git checked out with CRLF is not cut silently.
func TestReadCRLF(t *testing.T) {
	d := webhooktest.NewBody([]byte("{\n\"type\": \"x\"\n}\n"), signer)
	var b bytes.Buffer
	require.NoError(t, d.Write(&b))
	lf := bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n"))
	_, err := webhooktest.Read(bytes.NewReader(lf))
	require.NoError(t, err, "the header may have either")
	crlf := bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
	_, err = webhooktest.Read(bytes.NewReader(crlf))
	require.ErrorContains(t, err, "3 bytes are left over")
	require.ErrorContains(t, err, "CRLF")
}

// TestReadStrips: what package record tells of a delivery is not part of it.
func TestReadStrips(t *testing.T) {
	lines := []string{
		"POST / HTTP/1.1", "Host: x", "Webhook-Id: a",
		"Geminihook-Result: failed", "geminihook-reason: r",
	}
	d, err := webhooktest.Read(strings.NewReader(strings.Join(lines, "\r\n") + "\r\n\r\n"))
	require.NoError(t, err)
	require.Equal(t, http.Header{"Webhook-Id": {"a"}}, d.Header)
}

// FuzzWriteRead checks that Read returns what Write has written.
func FuzzWriteRead(f *testing.F) {
	f.Add("msg_1", "1779364800", "v1,AAAA v1a,BBBB", []byte(`{"type":"x"}`))
	f.Add("", "", "", []byte(nil))
	request := []byte("\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
	f.Add("a:b", " ", "GET / HTTP/1.1", request)
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		d := &webhooktest.Delivery{Header: http.Header{}, Body: body}
		invisible := func(r rune) bool { return r < ' ' || r > '~' }
		for name, value := range map[string]string{
			"Webhook-Id": id, "Webhook-Timestamp": timestamp, "Webhook-Signature": signature,
		} {
			if value != strings.TrimSpace(value) || strings.ContainsFunc(value, invisible) {
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
