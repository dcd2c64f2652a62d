package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKeepsOtherSecrets checks that a secret which another command has written
// into the file in the meantime is not lost: nobody shows it again.
func TestKeepsOtherSecrets(t *testing.T) {
	fake, vars := newAPI(t)
	target, err := url.Parse(fake.URL)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), ".env")
	configured, other := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	require.NoError(t, os.WriteFile(path, []byte("GEMINI_WEBHOOK_SECRET="+configured+"\n"), 0o600))
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // the other command ends while this one waits
			assert.NoError(t, os.WriteFile(path,
				[]byte("GEMINI_WEBHOOK_SECRET="+other+","+configured+"\n"), 0o600))
		}
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	ok(t, with(vars, "GOOGLE_GEMINI_BASE_URL", server.URL), "setup", "-url", endpoint, "-env", path)
	all := strings.Join([]string{fake.Secrets("webhook-1")[0], other, configured}, ",")
	assert.Equal(t, "GEMINI_WEBHOOK_SECRET="+all+"\n", readable(t, path))
}
