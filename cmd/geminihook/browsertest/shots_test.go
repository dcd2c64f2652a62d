package browsertest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// day is a list as a day of work leaves it.
func day(t *testing.T) *listen.Listener {
	var failing atomic.Bool
	addr, ui, forward := "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if os.Getenv("SCREENSHOTS") != "" { // pictures have the ports of the guide
		addr, ui, forward = "127.0.0.1:8090", "127.0.0.1:8091", "127.0.0.1:8080"
	}
	forward = programAt(t, forward, func(*http.Request) int {
		if failing.Load() {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	l := startAt(t, addr, ui, forward)
	send := func(d *webhooktest.Delivery) *webhooktest.Delivery { deliver(t, l, d); return d }
	send(webhooktest.New(geminihook.EventInteractionCompleted, signer))
	send(webhooktest.New(geminihook.EventVideoGenerated, signer))
	forged := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	send(forged.Tampered())
	send(webhooktest.New(geminihook.EventBatchFailed, signer))
	failing.Store(true)
	failed := send(webhooktest.New(geminihook.EventBatchSucceeded, signer))
	send(webhooktest.New(geminihook.EventInteractionRequiresAction, signer))
	failing.Store(false)
	send(webhooktest.New("batch.paused", signer))
	send(webhooktest.New(geminihook.EventBatchExpired, signer).Stale())
	metadata := map[string]any{"order": 1042, "customer": "Ada"}
	body := webhooktest.BodyWith(geminihook.EventVideoGenerated, metadata)
	send(webhooktest.NewBody(body, signer))
	send(failed.Sign(time.Now(), signer))
	send(failed)
	return l
}

// TestShots looks at the page in all its sizes: nothing is wider than the
// window. With SCREENSHOTS set to a folder, it writes pictures there.
func TestShots(t *testing.T) {
	l := day(t)
	none, many := start(t, ""), start(t, "")
	for range 200 {
		deliver(t, many, webhooktest.New(geminihook.EventBatchSucceeded, signer))
	}
	for _, s := range []struct {
		name string
		size
	}{
		{"1280-light", size{1280, 800, "light"}},
		{"1280-dark", size{1280, 800, "dark"}},
		{"390-light", size{390, 844, "light"}},
		{"390-dark", size{390, 844, "dark"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			p := newTab(t, none.OpenURL(), s.size)
			p.until(`!document.querySelector("#empty").hidden && document.querySelector("#live").dataset.state === "live"`)
			p.shoot(s.name + "-empty")
			p = newTab(t, l.OpenURL(), s.size)
			p.until(`document.querySelectorAll(".row").length === 9`)
			p.shoot(s.name + "-list")
			p.within(s.size)
			for _, n := range []string{"9", "5", "8"} {
				p.eval(`location.hash = ` + n)
				p.until(`document.querySelector(".row[aria-current]")?.hash === "#%s" &&
					document.querySelector("#detail .facts dd")?.textContent ===
						document.querySelector(".row[aria-current] .id").textContent`, n)
				p.shoot(s.name + "-detail" + n)
			}
			p.click("#tab-response")
			p.shoot(s.name + "-response")
			p.eval(`location.hash = ""`)
			if s.width < 600 {
				p.click("#more")
				p.shoot(s.name + "-more")
			}
			p.click("#new")
			p.until(`document.querySelector("#send-body").value !== ""`)
			p.shoot(s.name + "-send")
			p = newTab(t, many.OpenURL(), s.size)
			p.until(`document.querySelectorAll(".row").length === 200`)
			p.shoot(s.name + "-many")
		})
	}
}

// within checks what is seen without scrolling: on a phone the list begins near the top,
// with the counts above it, and on a desktop no button stands alone in a line.
func (p *tab) within(s size) {
	p.t.Helper()
	if s.width < 600 {
		top := p.number(`Math.round(document.querySelector("#rows").getBoundingClientRect().top)`)
		assert.LessOrEqual(p.t, top, 160)
		p.until(`[...document.querySelectorAll("#states b")].every(b => { const r = b.getBoundingClientRect(); return r.width > 0 && r.left >= 0 && r.right <= innerWidth; })`)
		return
	}
	assert.Zero(p.t, p.number(`Math.round(document.querySelector("#clear").getBoundingClientRect().top - document.querySelector("#fault button").getBoundingClientRect().top)`))
}

func (p *tab) shoot(name string) {
	p.t.Helper()
	// Not innerWidth, which on a phone grows with what is too wide.
	assert.LessOrEqual(p.t, p.number(`document.documentElement.scrollWidth`), int(p.width),
		"%s is wider than the window", name)
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}
