package listen_test

import (
	"sync"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

// TestForgets checks that the oldest event goes first, and that one which has
// just been repeated is not old.
func TestForgets(t *testing.T) {
	b := start(t, listen.Config{})
	kept := webhooktest.New(geminihook.EventVideoGenerated, signer)
	b.deliver(kept)
	gone := webhooktest.New(geminihook.EventBatchFailed, signer)
	b.deliver(gone)
	b.deliver(kept)
	for range 499 {
		b.deliver(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	}
	assert.Len(t, b.list(""), 500)
	assert.Len(t, b.list("?id="+kept.ID()), 1)
	assert.Empty(t, b.list("?id="+gone.ID()))
}

// TestConcurrent sends, lists, replays, and clears at once, for the race
// detector.
func TestConcurrent(t *testing.T) {
	p := newProgram(t)
	b := start(t, listen.Config{Forward: p.URL, Dir: t.TempDir()})
	b.post("api/clear", "{}") // learns the token
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				b.deliver(d.Clone())
				b.deliver(d.Tampered())
				for _, found := range b.list("") {
					b.post("api/deliveries/"+itoa(int(found.Number))+"/replay", `{"mode":"fresh"}`)
				}
			}
			b.post("api/clear", "{}")
		})
	}
	all.Wait()
	assert.LessOrEqual(t, len(b.list("")), 2)
}
