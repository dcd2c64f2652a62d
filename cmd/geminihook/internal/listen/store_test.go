package listen_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// TestBudget checks that strangers cannot fill the memory with what is not the
// body: headers, however short, and paths.
func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		name             string
		headers, path    int
		attempts, groups int
		kept             int // groups, at most
	}{
		{name: "headers", headers: 400, attempts: 20, groups: 40, kept: 25}, // Go 1.27 accepts 500
		{name: "paths", path: 30_000, attempts: 20, groups: 40, kept: 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, listen.Config{})
			for i := range tt.groups {
				d := webhooktest.NewBody([]byte("{}"))
				d.SetID(itoa(i))
				for n := range tt.headers {
					d.Header["H"+itoa(n)] = []string{""}
				}
				for range tt.attempts {
					req, err := d.ClientRequest(b.ReceiveURL() + strings.Repeat("a", tt.path))
					require.NoError(t, err)
					require.Equal(t, http.StatusBadRequest, b.do(req).StatusCode)
				}
			}
			assert.LessOrEqual(t, len(b.list("")), tt.kept)
		})
	}
}

// TestClaims checks that an endless id, type, or job is not part of every message
// to the page.
func TestClaims(t *testing.T) {
	b := start(t, listen.Config{})
	long := strings.Repeat("\u00e9", 10_000)
	d := webhooktest.NewBody([]byte(`{"type":"`+long+`","data":{"id":"`+long+`"}}`), signer)
	b.deliver(d.Tampered())
	b.deliver(d)
	d.SetID(strings.Repeat("a", 10_000))
	b.deliver(d)
	for _, shown := range b.list("") {
		for _, text := range []string{shown.ID, shown.Type, shown.Job} {
			assert.Less(t, len(text), 600)
			assert.True(t, utf8.ValidString(text))
		}
	}
	assert.Len(t, b.list("?verified=true"), 1)
}
