package api_test

import (
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/fakeapi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// client returns a client of a new fake API.
func client(t *testing.T) (*fakeapi.Server, *api.Client) {
	t.Helper()
	fake := fakeapi.New()
	t.Cleanup(fake.Close)
	vars := map[string]string{"GEMINI_API_KEY": fakeapi.Key, "GOOGLE_GEMINI_BASE_URL": fake.URL}
	c, err := api.New(t.Context(), func(name string) string { return vars[name] })
	require.NoError(t, err)
	return fake, c
}

// TestLifetime goes through the life of webhooks.
func TestLifetime(t *testing.T) {
	fake, c := client(t)
	var created []string
	for _, path := range []string{"a", "b", "c", "d", "e"} { // more than a page of the fake
		w, secret, err := c.Create(t.Context(), "name", "https://example.com/"+path, api.Events())
		require.NoError(t, err)
		assert.True(t, w.Enabled())
		parsed, err := geminihook.ParseSecret(secret)
		require.NoError(t, err)
		assert.Equal(t, []api.Secret{{Name: parsed.Name()}}, w.Secrets)
		created = append(created, w.ID)
	}
	all, err := c.List(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 5)
	assert.Equal(t, created[4], all[4].ID)
	assert.Equal(t, api.Events(), all[4].Events)

	id := created[2]
	fresh, err := c.Rotate(t.Context(), id)
	require.NoError(t, err)
	again, err := c.Rotate(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, []string{again, fresh}, fake.Secrets(id)[:2])
	w, err := c.Get(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, w.Secrets, 3)
	assert.Zero(t, w.Secrets[0].Expires, "the newest is the first")
	assert.False(t, w.Secrets[1].Expires.Before(w.Secrets[2].Expires))

	fake.SetClock(func() time.Time { return time.Now().Add(25 * time.Hour) })
	w, err = c.Get(t.Context(), id)
	require.NoError(t, err)
	assert.Len(t, w.Secrets, 1, "the grace is over")
	ahead, ok := c.Skew()
	assert.True(t, ok)
	assert.InDelta(t, -25, ahead.Hours(), 0.1)

	fake.SetState(id, "disabled")
	w, err = c.Update(t.Context(), id, []string{"batch.failed"})
	require.NoError(t, err)
	assert.True(t, w.Enabled())
	assert.Equal(t, []string{"batch.failed"}, w.Events)
	require.NoError(t, c.Delete(t.Context(), id))
	assert.Len(t, fake.IDs(), 4)
}

// TestErrors: a refused call has had no effect, and nobody knows of a failed one.
func TestErrors(t *testing.T) {
	fake, c := client(t)
	for status, uncertain := range map[int]bool{
		400: false,
		401: false,
		403: false,
		429: false,
		500: true,
		503: true,
	} {
		fake.Fail("POST /webhooks", status, "No.")
		_, _, err := c.Create(t.Context(), "name", "https://example.com/", api.Events())
		var refused *api.Error
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, status, refused.Status)
		assert.Equal(t, status == 401, refused.BadKey())
		assert.Equal(t, uncertain, api.Uncertain(err), status)
	}
	fake.Fail("POST /webhooks", 200, "{}")
	_, _, err := c.Create(t.Context(), "name", "https://example.com/", api.Events())
	require.ErrorContains(t, err, "no secret")
	fake.Fail("GET /webhooks", 200, `{"webhooks":"none"}`)
	_, err = c.List(t.Context())
	require.Error(t, err)
	assert.Len(t, fake.Requests(), 8, "nothing is repeated")
	_, err = api.New(t.Context(), func(string) string { return "" })
	require.ErrorIs(t, err, api.ErrNoKey)
}
