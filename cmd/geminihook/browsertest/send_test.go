package browsertest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

// TestSend checks that an event can be written on the page, and one that has arrived
// edited, and that the page shows what the program responds.
func TestSend(t *testing.T) {
	var last atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last.Store(string(body))
		w.Header().Set("X-Trace", "trace-1")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "queued <b>42</b>")
	}))
	defer server.Close()
	l := start(t, server.URL)
	p := newTab(t, l.OpenURL(), desktop)
	p.until(live)
	p.click("#new")
	p.until(`document.querySelector("#send").open && document.querySelector("#send-body").value.includes('"batch.succeeded"')`)
	p.eval(`{ const s = document.querySelector("#send-type"); s.value = "video.generated"; s.dispatchEvent(new Event("change")); }`)
	p.until(`document.querySelector("#send-body").value.includes('"file_name"')`)
	p.eval(`{ const b = document.querySelector("#send-body"); b.value = b.value.replace("}", "]"); }`)
	p.click("#send .main")
	p.until(`document.querySelector("#send-problem").innerText.includes("not JSON")`)
	p.eval(`document.querySelector("#send-body").value = '{"type":"video.generated","data":{"id":"operations/7"}}'`)
	p.click("#send .main")
	p.until(`!document.querySelector("#send").open && document.querySelector("#detail h2")?.textContent === "video.generated"`)
	assert.Equal(t, `{"type":"video.generated","data":{"id":"operations/7"}}`, last.Load())
	p.shows(".row", "test event")
	assert.NotContains(t, p.text(".row"), "replay")
	p.shows(".row .job", "operations/7")
	for elapsed, want := range map[int]string{4_999: "now", 65_000: "1 min ago"} {
		const clock = `Date.now = () => Date.parse(document.querySelector(".row time").dateTime) + %d`
		p.eval(fmt.Sprintf(clock, elapsed))
		p.shows(".row time", want)
	}
	p.click("#tab-response")
	for _, want := range []string{"202", "x-trace", "trace-1", "queued <b>42</b>"} {
		p.shows("#content", want)
	}

	deliver(t, l, webhooktest.New(geminihook.EventBatchFailed, signer))
	p.until(rows + ` === 2`)
	p.click("#rows li:first-child .row")
	p.until(`document.querySelector("#detail h2")?.textContent === "batch.failed"`)
	p.click(`[data-key=edit]`)
	p.until(`document.querySelector("#send").open && document.querySelector("#send-body").value.includes('"batch.failed"')`)
	p.eval(`{ const b = document.querySelector("#send-body"); b.value = b.value.replace("batch.failed", "batch.expired"); }`)
	p.click("#send .main")
	p.until(`document.querySelector("#detail h2")?.textContent === "batch.expired"`)
	assert.Contains(t, last.Load(), "batch.expired")
	p.until(rows + ` === 3`)

	deliver(t, l, webhooktest.New(geminihook.EventBatchFailed, signer).Tampered())
	p.until(rows + ` === 4`)
	p.click("#rows li:first-child .row")
	p.until(`document.querySelector("#detail .verdict.bad")`)
	assert.Regexp(t, `\d m?s`, p.text(".history .took"), "the duration of a refused one")
	p.click("#tab-response")
	p.shows("#content", "was not asked")
}

// TestSendNowhere checks that the page says why no event can be sent.
func TestSendNowhere(t *testing.T) {
	l := start(t, "")
	p := newTab(t, l.OpenURL(), desktop)
	p.until(live + ` && document.querySelector("#new").disabled && document.querySelector("#new").title.includes("-forward")`)
}
