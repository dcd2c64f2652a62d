package listen_test

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBounds checks that a flood of forgeries displaces neither a genuine
// delivery nor, beyond the bound, grows the list.
func TestBounds(t *testing.T) {
	b := start(t, listen.Config{})
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	b.deliver(genuine)
	for range 250 {
		b.deliver(webhooktest.New("x", signer).WrongSecret())
	}
	assert.Len(t, b.list("?verified=false"), 200)
	assert.Len(t, b.list("?verified=true"), 1)
	large := webhooktest.NewBody(bytes.Repeat([]byte("x"), maxBody))
	for range 18 {
		large.SetID(webhooktest.NewID())
		b.deliver(large.Sign(time.Now()))
	}
	assert.LessOrEqual(t, len(b.list("?verified=false")), 16, "16 MiB of bodies")
}

// TestCutOffBodies checks that only the beginning of a body that is too large stays
// in memory.
func TestCutOffBodies(t *testing.T) {
	b := start(t, listen.Config{})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	body := bytes.Repeat([]byte("x"), maxBody+1)
	before := heap()
	for range 32 {
		// The reader hides the length of the body.
		req, err := http.NewRequest(http.MethodPost, b.ReceiveURL(),
			io.MultiReader(bytes.NewReader(body)))
		require.NoError(t, err)
		req.Header = webhooktest.New("x", signer).Header
		assert.Equal(t, http.StatusRequestEntityTooLarge, b.do(req).StatusCode)
	}
	require.Len(t, b.list("?verified=false"), 32)
	assert.Less(t, heap(), before+16<<20)
}
