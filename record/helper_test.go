package record_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/record"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

var signer = webhooktest.Static(webhooktest.TestSecret)

// noon is when the clock of a rig begins.
var noon = time.Date(2026, 1, 22, 12, 0, 0, 0, time.UTC)

var errPoison = errors.New("poison")

// rig is a recorder behind an endpoint, with a clock that the test moves.
type rig struct {
	recorder *record.Recorder
	endpoint *geminihook.Endpoint
	logs     *bytes.Buffer

	mu sync.Mutex
	at time.Time
}

func newRig(t *testing.T, r *record.Recorder) *rig {
	t.Helper()
	g := &rig{recorder: r, logs: &bytes.Buffer{}, at: noon}
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	require.NoError(t, err)
	verifier := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}, Now: g.now}
	if r.Dir == "" {
		r.Dir = filepath.Join(t.TempDir(), "deliveries")
	}
	r.Now = g.now
	r.Logger = slog.New(slog.NewTextHandler(g.logs, nil))
	g.endpoint = &geminihook.Endpoint{
		Verifier: verifier, Observe: r.Observe, Logger: slog.New(slog.DiscardHandler),
	}
	return g
}

func (g *rig) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

// move moves the clock.
func (g *rig) move(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = g.at.Add(d)
}

// delivery returns a delivery that is sent now.
func (g *rig) delivery(id string) *webhooktest.Delivery {
	d := webhooktest.NewBody([]byte(`{"type":"batch.failed","data":{"id":"batches/1"}}`))
	d.SetID(id)
	return d.Sign(g.now(), signer)
}

// post delivers d while the endpoint's function returns err.
func (g *rig) post(d *webhooktest.Delivery, err error) int {
	fn := func(context.Context, *geminihook.Event) error { return err }
	return webhooktest.Post(g.endpoint.Handler(fn), d)
}

// names returns the names of all files in the folder.
func (g *rig) names(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(g.recorder.Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// kinds counts the files of each kind, such as "failed 2".
func (g *rig) kinds(t *testing.T) string {
	t.Helper()
	var all []string
	count := map[string]int{}
	for _, name := range g.names(t) {
		kind := name[:strings.LastIndexByte(name, '-')]
		if count[kind]++; count[kind] == 1 {
			all = append(all, kind)
		}
	}
	for i, kind := range all {
		all[i] = fmt.Sprintf("%s %d", kind, count[kind])
	}
	return strings.Join(all, ", ")
}

// only returns the content of the only file.
func (g *rig) only(t *testing.T) string {
	t.Helper()
	names := g.names(t)
	require.Len(t, names, 1)
	b, err := os.ReadFile(filepath.Join(g.recorder.Dir, names[0]))
	require.NoError(t, err)
	return string(b)
}
