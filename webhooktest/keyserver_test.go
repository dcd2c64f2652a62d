package webhooktest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeyServer(t *testing.T) {
	keys := webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(0)))
	defer keys.Close()
	set := &geminihook.KeySet{URL: keys.URL, MinRefresh: time.Nanosecond}
	verify := func(n int) error {
		signer := webhooktest.Dynamic(webhooktest.Key(n))
		d := webhooktest.New(geminihook.EventVideoGenerated, signer)
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
