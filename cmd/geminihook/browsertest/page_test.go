package browsertest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const live = `document.querySelector("#live").dataset.state === "live"`

// rows is the number of rows that the filter shows.
const rows = `[...document.querySelectorAll("#rows li")].filter(li => !li.hidden).length`

// TestArrival checks that a delivery appears without a reload, with its attempts,
// and that an event that failed and then succeeded says so.
func TestArrival(t *testing.T) {
	var status atomic.Int64
	l := start(t, program(t, func(*http.Request) int { return int(status.Load()) }))
	p := newTab(t, l.OpenURL(), desktop)
	p.until(live + ` && !document.querySelector("#empty").hidden`)
	p.eval(`window.loadedOnce = true`)
	p.shows("#empty", "geminihook send "+l.ReceiveURL())
	p.shows("#empty", l.PageURL()+"api/wait?type=batch.succeeded")

	status.Store(500)
	d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	deliver(t, l, d)
	p.until(`document.querySelector(".row .status").textContent === "500"`)
	p.shows(".row", "batch.succeeded")
	p.shows(".row", "genuine")
	assert.NotContains(t, p.text(".row"), "cleared")
	p.shows("#announce", "batch.succeeded, genuine")

	status.Store(200)
	deliver(t, l, d.Sign(time.Now(), signer))
	deliver(t, l, d)
	p.until(`document.querySelector(".row .tags").innerText.includes("1 duplicate")`)
	assert.Equal(t, 1, p.number(rows))
	p.shows(".row .tags", "3 attempts")
	p.shows(".row .tags", "cleared after 500")
	deliver(t, l, d.Tampered())
	p.until(rows + ` === 2`)
	p.shows(".row", "not accepted")
	p.until(`window.loadedOnce`)
}

// TestDetail checks what the page shows of one delivery, and a replay.
func TestDetail(t *testing.T) {
	var signatures atomic.Value
	signatures.Store([]string{})
	l := start(t, program(t, func(r *http.Request) int {
		signatures.Store(append(signatures.Load().([]string), r.Header.Get("webhook-timestamp")))
		return http.StatusOK
	}))
	d := webhooktest.NewBody(webhooktest.BodyWith(geminihook.EventVideoGenerated,
		map[string]any{"order": "1042"}))
	d.Sign(time.Now().Add(-time.Minute), signer)
	deliver(t, l, d)
	p := newTab(t, l.OpenURL(), desktop)
	p.until(rows + ` === 1`)
	p.click(".row")
	p.until(`document.querySelector("#detail h2")?.textContent === "video.generated"`)
	p.shows("#detail .verdict", "Signed v1 with whsec_...MDAx, sent ")
	p.shows("#content", "\"order\": \"1042\"\n")
	p.click("#tab-raw")
	p.shows("#content", `"order":"1042"`)
	p.click("#tab-decoded")
	p.shows("#content", "Data: &geminihook.VideoGenerated{")
	p.press(kb.ArrowRight)
	p.until(`document.querySelector("#tab-headers").getAttribute("aria-selected") === "true" && document.activeElement.id === "tab-headers"`)
	p.shows("#content", d.Header.Get("webhook-signature"))

	p.click(`[data-key=replay]`)
	p.until(`document.querySelectorAll(".history li").length === 2 && document.querySelector("#toast").textContent.includes("Replayed: 200")`)
	p.click(`[data-key=fresh]`)
	p.until(`document.querySelectorAll(".history li").length === 3`)
	times := signatures.Load().([]string)
	require.Len(t, times, 3)
	assert.Equal(t, times[0], times[1], "a replay has the same bytes")
	assert.NotEqual(t, times[0], times[2], "a fresh one has the current time")
	p.shows(".row .tags", "2 replays")

	deliver(t, l, d.Tampered())
	p.until(rows + ` === 2`)
	p.click("#rows li:first-child .row")
	p.until(`document.querySelector("#detail .verdict.bad")`)
	p.shows("#detail .verdict", "no signature matches")
	disabled := p.number(`document.querySelectorAll("#detail .actions button:disabled").length`)
	assert.Equal(t, 2, disabled, "what was not accepted is not replayed")
}

// TestKeyboard checks j, k, r, R, /, and Escape.
func TestKeyboard(t *testing.T) {
	l := start(t, program(t, func(*http.Request) int { return http.StatusOK }))
	for _, typ := range []geminihook.EventType{
		geminihook.EventBatchFailed, geminihook.EventVideoGenerated,
		geminihook.EventBatchSucceeded,
	} {
		deliver(t, l, webhooktest.New(typ, signer))
	}
	p := newTab(t, l.OpenURL(), desktop)
	p.until(rows + ` === 3`)
	shows := func(typ string) {
		t.Helper()
		p.until(`document.querySelector("#detail h2")?.textContent === %q && document.activeElement.matches(".row[aria-current]")`,
			typ)
	}
	p.typeKeys("j")
	shows("batch.succeeded")
	p.typeKeys("j")
	shows("video.generated")
	p.typeKeys("jj")
	shows("batch.failed")
	p.typeKeys("k")
	shows("video.generated")
	p.typeKeys("r")
	p.until(`document.querySelectorAll(".history li").length === 2`)
	shows("video.generated")
	p.typeKeys("R")
	p.until(`document.querySelectorAll(".history li").length === 3`)
	p.shows(".history", "signed again")
	p.typeKeys("/")
	p.until(`document.activeElement.id === "query"`)
	p.typeKeys("failed")
	p.until(rows + ` === 1`)
	assert.Equal(t, 1, p.number(`Number(document.querySelector("#query").value === "failed")`), "letters are not commands in a field")
	p.press(kb.Escape)
	p.until(`document.activeElement === document.body`)
	p.press(kb.Escape)
	p.until(`location.hash === "" && document.querySelector("#detail .hint")`)
}

// TestFilter checks the search, also of bodies, and the states and types.
func TestFilter(t *testing.T) {
	l := start(t, "")
	for i := range 5 {
		d := webhooktest.NewBody(webhooktest.BodyWith(geminihook.EventBatchSucceeded,
			map[string]any{"order": fmt.Sprint("order-", i)}), signer)
		deliver(t, l, d)
	}
	deliver(t, l, webhooktest.New(geminihook.EventVideoGenerated, signer))
	deliver(t, l, webhooktest.New(geminihook.EventBatchFailed, signer).Tampered())
	p := newTab(t, l.OpenURL(), desktop)
	p.until(rows + ` === 7`)
	set := func(id, value string) {
		t.Helper()
		p.eval(fmt.Sprintf(`{ const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event("input", {bubbles: true})); e.dispatchEvent(new Event("change", {bubbles: true})); }`,
			id, value))
	}
	set("query", "ORDER-3")
	p.until(rows + ` === 1`)
	deliver(t, l,
		webhooktest.NewBody([]byte(`{"type":"batch.expired","data":{"id":"order-3"}}`), signer))
	p.until(rows + ` === 2`)
	set("query", "nowhere")
	p.until(rows + ` === 0 && !document.querySelector("#nothing").hidden`)
	p.click("#nothing button")
	p.until(rows + ` === 8`)
	set("type", "video.generated")
	p.until(rows + ` === 1`)
	set("type", "")
	p.click(`#states label:nth-of-type(3)`)
	p.until(rows + ` === 1`)
	p.shows("#rows li:not([hidden])", "not accepted")
}

// TestFault checks that the page can have the next deliveries fail with an
// error, and forget everything.
func TestFault(t *testing.T) {
	l := start(t, "")
	p := newTab(t, l.OpenURL(), desktop)
	p.until(live)
	p.eval(`document.querySelector("#left").value = 2`)
	p.click("#fault button")
	p.until(`document.querySelector("#banner").innerText.includes("next 2 genuine deliveries get a 500 response")`)
	deliver(t, l, webhooktest.New(geminihook.EventBatchSucceeded, signer))
	p.until(`document.querySelector("#banner").innerText.includes("next genuine delivery gets") && document.querySelector(".row .status").textContent === "500"`)
	p.click("#banner button")
	p.until(`document.querySelector("#banner").hidden`)
	deliver(t, l, webhooktest.New(geminihook.EventBatchSucceeded, signer))
	p.until(`document.querySelector(".row .status").textContent === "200"`)
	p.click("#clear")
	// On a busy machine, the page may no longer wait for the second click.
	p.until(`document.querySelector("#clear").textContent !== "Clear" || document.querySelector("#clear").click()`)
	p.until(`!document.querySelector("#empty").hidden || document.querySelector("#clear").click()`)
}

// TestMany checks that 500 deliveries neither block the page for long nor cost
// it more elements than they need, and that each further one costs one row.
func TestMany(t *testing.T) {
	l := start(t, "")
	p := newTab(t, l.OpenURL(), desktop)
	p.until(live)
	p.eval(`window.drawn = 0; new MutationObserver(all => { for (const m of all) drawn += m.addedNodes.length; }).observe(document.querySelector("#rows"), {childList: true})`)
	for range 500 {
		deliver(t, l, webhooktest.New(geminihook.EventBatchSucceeded, signer))
	}
	p.until(rows + ` === 500 && [...document.querySelectorAll(".row .status")].every(s => s.textContent === "200")`)
	assert.LessOrEqual(t, p.number(`document.querySelectorAll("*").length`), 500*12+300)
	assert.Equal(t, 500, p.number(`drawn`), "each row is inserted once")
	deliver(t, l, webhooktest.New(geminihook.EventVideoGenerated, signer))
	p.until(`document.querySelector(".row .type").textContent === "video.generated"`)
	p.until(`drawn === 501 && ` + rows + ` === 500`) // the oldest was forgotten
	p.typeKeys("jjjjj")
	p.until(`document.querySelector(".row[aria-current]") === document.querySelectorAll(".row")[4]`)
}

// hostile is markup and escapes that would run or be acted on somewhere.
const hostile = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>\x1b[2J\u202e\u009b31m'\"&amp;{{.}}"

// TestHostile checks that whatever a delivery has in it is only text.
func TestHostile(t *testing.T) {
	l := start(t, program(t, func(*http.Request) int { return http.StatusOK }))
	body, err := json.Marshal(map[string]any{
		"type":          hostile,
		"data":          map[string]any{"id": hostile, hostile: hostile},
		"user_metadata": map[string]any{hostile: hostile},
	})
	require.NoError(t, err)
	unescaped := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(body))
	d := webhooktest.NewBody([]byte(unescaped))
	d.SetID("<script>document.title='owned'</script>")
	deliver(t, l, d.Sign(time.Now(), signer))
	forged := d.Clone()
	forged.Header.Set("X-Other", "<img/src=x\tonerror=document.title='owned'>")
	forged.SetID("<img/src=x/onerror=document.title='owned'>")
	forged.Body = append(forged.Body,
		"\x00\xff\x1b]0;owned\a</pre><script>document.title='owned'</script>"...)
	deliver(t, l, forged)

	p := newTab(t, l.OpenURL(), desktop)
	p.until(rows + ` === 2`)
	for _, n := range []string{"1", "2"} {
		p.eval("location.hash = " + n)
		p.until(`document.querySelector("#detail .id, #detail .facts")?.innerText.includes(%q)`,
			map[string]string{"1": "<script>", "2": "<img"}[n])
		for _, tab := range []string{"pretty", "raw", "decoded", "headers"} {
			p.click("#tab-" + tab)
			text := p.text("body")
			for _, r := range "\x1b\u202e\u009b\x00\a" {
				assert.NotContains(t, text, string(r), "%s of %s", tab, n)
			}
		}
	}
	p.shows("#rows", `<script>document.title='owned'</script><img src=x onerror=document.title='owned'>\u{1b}[2J\u{202e}\u{9b}31m'"&amp;{{.}}`)
	assert.Equal(t, 1, p.number(`document.scripts.length`))
	assert.Equal(t, 1, p.number(`document.images.length`))
	assert.Equal(t, 1, p.number(`Number(document.title === "geminihook listen")`))
}
