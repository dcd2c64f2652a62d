package chaos_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(kindVariable); kind != "" {
		fmt.Fprintln(os.Stderr, process(kind))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// process is the main of a process that a test has started.
func process(kind string) error {
	switch {
	case os.Getenv(apiVariable) != "":
		return sweep(kind)
	case os.Getenv(fateVariable) != "":
		return end(kind)
	}
	return receive(kind)
}

// TestChaos kills receivers and servers with SIGKILL, and cuts and holds the
// connections between them, while events are delivered. No event is lost, none runs
// again after a process knew that it was marked as done, and with a Transactor, each
// has its effect exactly once. With a lease, one runs again only if a process was killed
// or said that it could not mark the event. CHAOS_EVENTS is the number of events for
// each kind of store.
func TestChaos(t *testing.T) {
	t.Parallel()
	events, err := strconv.Atoi(cmp.Or(os.Getenv("CHAOS_EVENTS"), "100"))
	require.NoError(t, err)
	for _, kind := range []string{
		"redis",
		"postgres", "postgres transactional",
		"sqlite", "sqlite transactional",
		"sqlstore postgres", "sqlstore postgres transactional",
		"sqlstore mysql", "sqlstore mysql transactional",
	} {
		t.Run(kind, func(t *testing.T) { newChaos(t, kind).run(t, events) })
	}
}

// chaos is the world around the receivers.
type chaos struct {
	kind      string
	backend   *backend
	journal   string
	receivers []*receiver
	sender    *webhooktest.Sender

	left   []string       // what is still to be done to the receivers and the server
	done   map[string]int // what was done
	killed map[int]bool   // processes

	ids      []string // of the events
	attempts int
}

func newChaos(t *testing.T, kind string) *chaos {
	t.Helper()
	c := &chaos{
		kind: kind, backend: open(t, kind), journal: filepath.Join(t.TempDir(), "journal"),
		done: map[string]int{}, killed: map[int]bool{},
	}
	require.NoError(t, os.WriteFile(c.journal, nil, 0o600))
	for range 3 {
		r := newReceiver(t, kindVariable+"="+kind, urlVariable+"="+c.backend.url,
			journalVariable+"="+c.journal)
		r.start(t)
		t.Cleanup(r.kill)
		c.receivers = append(c.receivers, r)
	}
	client := &http.Client{Timeout: 20 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	c.sender = &webhooktest.Sender{
		Handler:    balance(client, c.receivers),
		Signers:    []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)},
		FirstRetry: 50 * time.Millisecond, MaxRetry: time.Second, GiveUp: 2 * time.Minute,
		Concurrency: 24, Duplicates: 0.2, HangUps: 0.05, Reorder: true,
	}
	return c
}

// run delivers wave after wave of events, each with as many disturbances.
func (c *chaos) run(t *testing.T, events int) {
	for len(c.ids) < events {
		c.left = append(c.left, c.disturbances()...)
		c.wave(t)
	}
	for len(c.left) > 0 {
		c.wave(t)
	}
	extra := c.check(t)
	t.Logf("%s: events %d, attempts %d, receivers killed %d, server killed %d, cuts %d, hangs %d; lost 0, extra runs %d",
		c.kind, len(c.ids), c.attempts, c.done["kill"], c.done["restart"], c.done["cut"],
		c.done["hang"], extra)
}

// check checks what became of the events, and returns how many runs came to their end
// that were not the first to do so.
func (c *chaos) check(t *testing.T) (extra int) {
	t.Helper()
	records := readJournal(t, c.journal)
	unexplained := 0
	for _, id := range c.ids {
		require.Contains(t, records, id, "%s was acknowledged but never ran", id)
		records[id].check(t, id)
		extra += len(records[id].completed) - 1
		unexplained += records[id].unexplained(c.killed)
	}
	if !strings.HasSuffix(c.kind, transactional) {
		assert.Zero(t, unexplained, "extra runs, although no process was killed")
		return extra
	}
	effects := c.backend.effects(t)
	for _, id := range c.ids {
		assert.Equal(t, 1, effects[id], "effects of %s", id)
	}
	assert.Len(t, effects, len(c.ids))
	return extra
}

// disturbances returns what happens during a wave, in random order.
func (c *chaos) disturbances() []string {
	all := slices.Repeat([]string{"kill"}, 6)
	if c.backend.server != nil {
		all = append(all, "restart", "cut", "hang")
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// wave delivers 100 events, and disturbs the receivers and the server meanwhile.
func (c *chaos) wave(t *testing.T) {
	t.Helper()
	deliveries := make([]*webhooktest.Delivery, 100)
	for i := range deliveries {
		deliveries[i] = webhooktest.New(geminihook.EventBatchSucceeded)
		c.ids = append(c.ids, deliveries[i].ID())
	}
	ended := make(chan webhooktest.Report, 1)
	go func() {
		report, _ := c.sender.Deliver(t.Context(), deliveries...)
		ended <- report
	}()
	for {
		select {
		case report := <-ended:
			require.Empty(t, report.Lost, "events that were never acknowledged")
			c.attempts += len(report.Attempts)
			return
		case <-time.After(time.Duration(20+rand.IntN(150)) * time.Millisecond):
			if len(c.left) > 0 && c.disturb(t, c.left[0]) {
				c.done[c.left[0]]++
				c.left = c.left[1:]
			}
		}
	}
}

// disturb reports whether it did it. A receiver that was killed starts again at once,
// and a server a moment later.
func (c *chaos) disturb(t *testing.T, what string) bool {
	t.Helper()
	pause := func() { <-time.After(rand.N(200 * time.Millisecond)) }
	switch what {
	case "restart":
		require.NoError(t, c.backend.server.Kill())
		pause()
		require.NoError(t, c.backend.server.Start())
	case "cut":
		c.backend.proxy.Cut()
	case "hang":
		release := c.backend.proxy.Hold()
		pause()
		release()
	default:
		// On a slow machine, receivers that are still starting would never get up.
		r := c.receivers[rand.IntN(len(c.receivers))]
		if !r.up() {
			return false
		}
		c.killed[r.cmd.Process.Pid] = true
		r.kill()
		r.start(t)
	}
	return true
}

// balance passes each request on to one of the receivers.
func balance(client *http.Client, receivers []*receiver) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(context.WithoutCancel(r.Context()))
		out.RequestURI = ""
		out.URL.Scheme, out.URL.Host = "http", receivers[rand.IntN(len(receivers))].addr
		resp, err := client.Do(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
	})
}
