package webhooktest_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVariants(t *testing.T) {
	v, err := geminihook.NewHMAC(webhooktest.Secret)
	require.NoError(t, err)
	good := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	old := webhooktest.Static(webhooktest.NewSecret())
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		want     error
	}{
		{"good", good, nil},
		{"clone", good.Clone(), nil},
		{"rotated", good.Rotated(old, signer), nil},
		{"oversized", good.Oversized(1<<10, signer), nil},
		{"tampered", good.Tampered(), geminihook.ErrSignature},
		{"tampered and empty", webhooktest.NewBody(nil, signer).Tampered(), geminihook.ErrSignature},
		{"stale", good.Stale(signer), geminihook.ErrTimestamp},
		{"future", good.Future(signer), geminihook.ErrTimestamp},
		{"wrong secret", good.WrongSecret(), geminihook.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), tt.delivery.Header, tt.delivery.Body)
			require.ErrorIs(t, err, tt.want)
			_, err = v.Verify(t.Context(), good.Header, good.Body)
			require.NoError(t, err, "the original is as it was")
		})
	}
	assert.Len(t, good.Oversized(1<<10, signer).Body, 1<<10+1)
	assert.Panics(t, func() { webhooktest.Static("whsec_*") })
	assert.Panics(t, func() { webhooktest.BodyWith("x", map[string]any{"f": func() {}}) })
	assert.NotEqual(t, webhooktest.NewSecret(), webhooktest.NewSecret())
	assert.Regexp(t, `^msg_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, webhooktest.NewID())
}

func TestKeyServer(t *testing.T) {
	keys := webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(0)))
	defer keys.Close()
	set := &geminihook.KeySet{URL: keys.URL, MinRefresh: time.Nanosecond}
	verify := func(n int) error {
		d := webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Dynamic(webhooktest.Key(n)))
		_, err := set.Verify(t.Context(), d.Header, d.Body)
		return err
	}
	require.NoError(t, verify(0))
	require.ErrorIs(t, verify(1), geminihook.ErrSignature)
	keys.SetKeys(webhooktest.Public(webhooktest.Key(1)))
	require.NoError(t, verify(1))
	keys.SetHandler(http.NotFoundHandler())
	require.ErrorContains(t, verify(2), "404")
	assert.Equal(t, 4, keys.Fetches())
}

// TestRecord: what is recorded verifies, replays and gives the same event, and
// has nothing else of the request in it.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	e := endpoint(t)
	next := 0
	srv := httptest.NewServer(e.Middleware(webhooktest.Record(dir, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		next++
		w.WriteHeader(http.StatusAccepted)
	}))))
	defer srv.Close()
	post := func(d *webhooktest.Delivery) int {
		req, err := d.ClientRequest(srv.URL + "/gemini/token-in-the-path?secret=query")
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer credentials")
		req.Header.Set("Cookie", "session=cookie")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	d := webhooktest.New("odd/../type\n", signer)
	assert.Equal(t, 202, post(d))
	assert.Equal(t, 200, post(d), "a duplicate is not recorded twice")
	assert.Equal(t, 400, post(d.Tampered()))
	assert.Equal(t, 1, next)

	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, names, 1, "one file, and no other left behind")
	b, err := os.ReadFile(names[0])
	require.NoError(t, err)
	for _, secret := range []string{"credentials", "cookie", "token-in-the-path", "query"} {
		assert.NotContains(t, string(b), secret)
	}
	recorded, err := webhooktest.Load(os.DirFS(dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, d, recorded[0].Delivery, "header, signature and body as they were")

	var events []string
	again := endpoint(t).Handler(func(_ context.Context, ev *geminihook.Event) error {
		events = append(events, ev.ID+string(ev.Raw))
		return nil
	})
	report, err := (&webhooktest.Sender{Handler: again, Signers: []webhooktest.Signer{signer}}).Deliver(t.Context(), recorded[0].Delivery)
	require.NoError(t, err)
	assert.Empty(t, report.Lost)
	assert.Equal(t, []string{d.ID() + string(d.Body)}, events)
}

func TestRecordFails(t *testing.T) {
	d := webhooktest.New(geminihook.EventBatchFailed, signer)
	w := httptest.NewRecorder()
	webhooktest.Record(t.TempDir(), nil).ServeHTTP(w, d.Request("/"))
	assert.Equal(t, 500, w.Code, "not behind the middleware")
	w = httptest.NewRecorder()
	endpoint(t).Middleware(webhooktest.Record(filepath.Join(t.TempDir(), "missing"), nil)).ServeHTTP(w, d.Request("/"))
	assert.Equal(t, 500, w.Code, "it comes again")
}

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

// FuzzWriteRead: what Write writes, Read reads equal.
func FuzzWriteRead(f *testing.F) {
	f.Add("msg_1", "1779364800", "v1,AAAA v1a,BBBB", []byte(`{"type":"x"}`))
	f.Add("", "", "", []byte(nil))
	f.Add("a:b", " ", "GET / HTTP/1.1", []byte("\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		d := &webhooktest.Delivery{Header: http.Header{}, Body: body}
		for name, value := range map[string]string{"Webhook-Id": id, "Webhook-Timestamp": timestamp, "Webhook-Signature": signature} {
			if value != strings.TrimSpace(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return // not what a header holds on the wire
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
