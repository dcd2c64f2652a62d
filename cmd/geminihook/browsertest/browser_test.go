package browsertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var signer = webhooktest.Static(webhooktest.TestSecret)

// chromium is one browser for all tests, started by the first.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(code)
}

// limit bounds a test in the browser. A busy machine takes seconds.
const limit = 1 * time.Minute

// tab is a page in the browser.
type tab struct {
	t     *testing.T
	ctx   context.Context
	width int64 // of the window

	expectProblems bool // because the test provokes them

	mu       sync.Mutex
	problems []string // exceptions, and errors in the browser's log
}

// size is the size of a window and its color scheme.
type size struct {
	width, height int64
	scheme        string // "light" or "dark"
}

var desktop = size{1280, 800, "light"}

// newTab opens a URL. When the test ends, it fails if the page has thrown an
// exception or violated its Content-Security-Policy.
func newTab(t *testing.T, url string, s size) *tab {
	t.Helper()
	path := testserver.Program(t, "chromium", "chromium")
	chromium.once.Do(func() {
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(),
			chromedp.ExecPath(path),
			chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless,
			chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(limit))
		ctx, stop := chromedp.NewContext(allocator)
		chromium.ctx, chromium.stop = ctx, func() { stop(); stopAllocator() }
		require.NoError(t, chromedp.Do(ctx))
	})
	ctx, stop := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	require.NoError(t, chromedp.Do(ctx))
	ctx, cancel := context.WithTimeout(ctx, limit)
	p := &tab{t: t, ctx: ctx, width: s.width}
	console := chromedp.Console(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range console {
			if err != nil {
				return // the tab was closed
			}
			if m.Type == chromedp.ConsoleError || m.IsException() {
				p.mu.Lock()
				p.problems = append(p.problems, m.Text+" "+m.URL)
				p.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		p.eval("1") // whatever was written to the console has arrived when this has
		cancel()
		<-done
		stop()
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.expectProblems {
			assert.Empty(t, p.problems)
		}
	})
	mobile := func(
		m *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams,
	) {
		m.Mobile = s.width < 600
	}
	p.run(
		chromedp.EmulateViewport(s.width, s.height, mobile),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}},
			})
			return err
		}),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, cdpage.AddScriptToEvaluateOnNewDocument,
				cdpage.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
			return err
		}),
		chromedp.Navigate(url),
	)
	return p
}

// watch runs before the page's own scripts.
const watch = `addEventListener("securitypolicyviolation", e => console.error("violation of " + e.violatedDirective + " by " + e.blockedURI))`

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, actions...))
}

// until waits until a JavaScript expression is true. While it throws, it is not.
func (p *tab) until(format string, args ...any) {
	p.t.Helper()
	expression := fmt.Sprintf(format, args...)
	promise := `new Promise(done => { const look = () => { try { if (` + expression + `) return done(true); } catch {} setTimeout(look, 10); }; look(); })`
	_, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](promise, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, "until %s", expression)
}

// shows waits until the elements that match show the text. One part of the page may
// change later than another.
func (p *tab) shows(selector, text string) {
	p.t.Helper()
	quoted, err := json.Marshal(text) // as in JavaScript
	require.NoError(p.t, err)
	p.until(`[...document.querySelectorAll(%q)].map(e => e.innerText).join("\n").includes(%s)`,
		selector, quoted)
}

// eval evaluates a JavaScript expression.
func (p *tab) eval(expression string) {
	p.t.Helper()
	p.run(chromedp.Evaluate[chromedp.Void](expression, chromedp.EvalAwaitPromise))
}

// text returns the text of the elements that match, as the page shows it.
func (p *tab) text(selector string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.innerText).join("\n")`,
		selector)))
	require.NoError(p.t, err)
	return text
}

func (p *tab) number(expression string) int {
	p.t.Helper()
	n, err := chromedp.Run(p.ctx, chromedp.Evaluate[int](expression))
	require.NoError(p.t, err)
	return n
}

// press presses a key of package kb.
func (p *tab) press(key string) {
	p.t.Helper()
	p.run(chromedp.KeyEvent(key))
}

// typeKeys presses keys that type a character, unless the page prevents that as
// it can in a browser: the character of KeyEvent cannot be prevented.
func (p *tab) typeKeys(keys string) {
	p.t.Helper()
	for _, r := range keys {
		p.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			for _, e := range []input.DispatchKeyEventParams{
				{Type: input.DispatchKeyEventTypeKeyDown, Key: string(r), Text: string(r)},
				{Type: input.DispatchKeyEventTypeKeyUp, Key: string(r)},
			} {
				if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, e); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// click clicks an element as a mouse would.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.run(chromedp.Click(chromedp.CSS(selector)))
}

// start runs a listener that forwards to a URL, which may be empty.
func start(t *testing.T, forward string) *listen.Listener {
	t.Helper()
	return startAt(t, "127.0.0.1:0", "127.0.0.1:0", forward)
}

func startAt(t *testing.T, addr, ui, forward string) *listen.Listener {
	t.Helper()
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	require.NoError(t, err)
	l, err := listen.Start(listen.Config{
		Addr: addr, UI: ui, Forward: forward, Verifier: verifier, Signers: []webhooktest.Signer{signer},
		Explain: func(_ context.Context, r listen.Refusal) []string {
			return []string{strings.TrimPrefix(r.Err.Error(), "geminihook: ")}
		},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	return l
}

// program is a local program that responds with a status.
func program(t *testing.T, status func(*http.Request) int) string {
	t.Helper()
	return programAt(t, "127.0.0.1:0", status)
}

func programAt(t *testing.T, addr string, status func(*http.Request) int) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	respond := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status(r))
	})
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: respond}}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL + "/gemini"
}

func deliver(t *testing.T, l *listen.Listener, d *webhooktest.Delivery) {
	t.Helper()
	req, err := d.ClientRequest(l.ReceiveURL())
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}
