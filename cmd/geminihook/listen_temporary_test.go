package main

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestListenSetup: the webhook exists as long as the command, which shows its secret to
// nobody.
func TestListenSetup(t *testing.T) {
	fake, api := newAPI(t)
	receive, _, end := listeningWith(t, api, "-setup", endpoint)
	require.Equal(t, []string{"webhook-1"}, fake.IDs())
	status, err := fake.Deliver(t.Context(), "webhook-1", geminihook.EventBatchSucceeded, receive)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status)
	secret := fake.Secrets("webhook-1")[0]
	out := end()
	assert.Empty(t, fake.IDs())
	assert.NotContains(t, out, secret)
	assert.Contains(t, out, "Deleted the temporary webhook webhook-1.")
}

// TestListenSetupBeside: the configured secrets verify, too, and a webhook that another
// run has left behind makes room, but not one of the user's.
func TestListenSetupBeside(t *testing.T) {
	fake, api := newAPI(t)
	env := filepath.Join(t.TempDir(), ".env")
	ok(t, api, "setup", "-url", endpoint, "-env", env)
	status, _, errs := call(t, "", api, "listen", "-setup", endpoint, "-addr", "127.0.0.1:0", "-ui", "127.0.0.1:0")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, flat(errs), "the webhook webhook-1 has this URL already")

	ok(t, api, "setup", "-url", endpoint+"/temporary", "-name", temporaryName)
	receive, _, end := listeningWith(t, api, "-setup", endpoint+"/temporary", "-secret-file", env)
	assert.Equal(t, []string{"webhook-1", "webhook-3"}, fake.IDs())
	for _, id := range fake.IDs() {
		status, err := fake.Deliver(t.Context(), id, geminihook.EventBatchSucceeded, receive)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status, id)
	}
	end()
	assert.Equal(t, []string{"webhook-1"}, fake.IDs())
}

// TestListenSetupFails: whatever fails afterwards, the webhook is deleted, and if that
// fails, the user learns it.
func TestListenSetupFails(t *testing.T) {
	fake, api := newAPI(t)
	status, _, errs := call(t, "", api, "listen", "-setup", endpoint, "-ui", "0.0.0.0:0")
	assert.Equal(t, exitUsage, status)
	assert.Contains(t, flat(errs), "-ui must be a loopback address")
	assert.Empty(t, fake.IDs())

	status, _, errs = call(t, "", api, "listen", "-setup", "http://example.com/")
	assert.Equal(t, exitUsage, status)
	assert.Contains(t, errs, "-setup")

	fake.Fail("DELETE webhook-2", http.StatusInternalServerError, "Internal error.")
	status, _, errs = call(t, "", api, "listen", "-setup", endpoint, "-addr", "127.0.0.1:0", "-ui", "192.0.2.1:0")
	assert.NotZero(t, status)
	assert.Contains(t, flat(errs), `delete it with "geminihook delete webhook-2"`)
}
