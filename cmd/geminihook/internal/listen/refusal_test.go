package listen_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExplainLater: of deliveries that are refused at the same time, one is explained at
// a time, and every other one as soon as the user opens it.
func TestExplainLater(t *testing.T) {
	explaining, release := make(chan struct{}), make(chan struct{})
	why := func(ctx context.Context, r listen.Refusal) []string {
		select {
		case explaining <- struct{}{}:
			<-release // the first one takes long
		default:
		}
		return []string{"why " + r.Header.Get("webhook-id"), r.At.String()}
	}
	b := start(t, listen.Config{Explain: why})
	first := make(chan int)
	go func() { first <- b.deliver(webhooktest.New("x", signer).WrongSecret()).StatusCode }()
	<-explaining
	for range 20 {
		forged := webhooktest.New("x", signer).WrongSecret()
		assert.Equal(t, http.StatusBadRequest, b.deliver(forged).StatusCode)
	}
	for _, d := range b.list("") {
		assert.NotContains(t, d.Reason, "why")
		assert.NotContains(t, d.Reason, "geminihook:")
	}
	close(release)
	assert.Equal(t, http.StatusBadRequest, <-first)
	all := b.list("")
	require.Len(t, all, 21)
	for _, d := range all {
		opened := b.detail(int(d.Number))
		assert.Equal(t, "why "+d.ID, opened.Reason)
		assert.Equal(t, opened.Reasons, b.detail(int(d.Number)).Reasons, "explained once, at one time")
	}
	for _, d := range b.list("") {
		assert.Equal(t, "why "+d.ID, d.Reason, "in the list, too")
	}
}

// TestRefusedElapsed: the duration of a refused delivery is known.
func TestRefusedElapsed(t *testing.T) {
	why := func(context.Context, listen.Refusal) []string {
		for began := time.Now(); time.Since(began) < time.Millisecond; {
		}
		return nil
	}
	b := start(t, listen.Config{Explain: why})
	b.deliver(webhooktest.New("x", signer).WrongSecret())
	assert.GreaterOrEqual(t, b.detail(1).History[0].Elapsed, 1.0)
}
