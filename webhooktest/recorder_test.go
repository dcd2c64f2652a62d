package webhooktest_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRecord checks that a recorded delivery verifies and can be delivered again
// as the same event, and that the file holds nothing else of the request.
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
	require.Len(t, names, 1, "one file and no temporary one")
	b, err := os.ReadFile(names[0])
	require.NoError(t, err)
	for _, secret := range []string{"credentials", "cookie", "token-in-the-path", "query"} {
		assert.NotContains(t, string(b), secret)
	}
	recorded, err := webhooktest.Load(os.DirFS(dir), "*.http")
	require.NoError(t, err)
	assert.Equal(t, d.Header, recorded[0].Header, "the signature included")
	assert.Equal(t, d.Body, recorded[0].Body)

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
	assert.Equal(t, 500, w.Code, "the sender delivers it again")
}

// TestRecordNames checks that two events of one type and second get a file
// each, although the first 32 bits of the digests of their ids are equal.
func TestRecordNames(t *testing.T) {
	seen := map[[4]byte]string{}
	var one, two string
	for n := 0; two == ""; n++ {
		id := fmt.Sprintf("msg_%d", n)
		digest := sha256.Sum256([]byte(id))
		if earlier, ok := seen[[4]byte(digest[:4])]; ok {
			one, two = earlier, id
		}
		seen[[4]byte(digest[:4])] = id
	}
	dir, at := t.TempDir(), time.Now()
	handler := endpoint(t).Middleware(webhooktest.Record(dir, nil))
	for _, id := range []string{one, two} {
		d := webhooktest.New(geminihook.EventBatchFailed)
		d.SetID(id)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Sign(at, signer).Request("/"))
		require.Equal(t, http.StatusOK, w.Code)
	}
	recorded, err := webhooktest.Load(os.DirFS(dir), "*.http")
	require.NoError(t, err)
	var ids []string
	for _, r := range recorded {
		ids = append(ids, r.ID())
	}
	assert.ElementsMatch(t, []string{one, two}, ids)
}
