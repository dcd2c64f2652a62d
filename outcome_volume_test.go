package geminihook_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// volume counts the lines and bytes of a log.
type volume struct{ lines, bytes int }

func (v *volume) Write(b []byte) (int, error) {
	v.lines++
	v.bytes += len(b)
	return len(b), nil
}

// TestLogVolume: the guide says how much a flood writes into the log, in JSON for
// Cloud Logging, per second and per day.
func TestLogVolume(t *testing.T) {
	guide, err := os.ReadFile("docs/operations.md")
	require.NoError(t, err)
	long := strings.Repeat(`"`, 256) // the longest id, of characters that JSON escapes
	for _, tt := range []struct {
		name  string
		flood func() *webhooktest.Delivery // made in the bubble, by its clock
	}{
		{"genuine events", nil},
		{"no webhook headers", func() *webhooktest.Delivery { return &webhooktest.Delivery{} }},
		{"forged", func() *webhooktest.Delivery { return newBatch().WrongSecret() }},
		{"forged, with the longest id", func() *webhooktest.Delivery {
			d := newBatch().WrongSecret()
			d.SetID(long)
			return d
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const seconds, perSecond = 3, 1000
			v := &volume{}
			synctest.Test(t, func(t *testing.T) {
				options := &slog.HandlerOptions{ReplaceAttr: cloudLogging}
				e := &geminihook.Endpoint{
					Verifier: newVerifier(t), Logger: slog.New(slog.NewJSONHandler(v, options)),
				}
				h := e.Handler(succeed)
				for range seconds * perSecond {
					d := newBatch
					if tt.flood != nil {
						d = tt.flood
					}
					h.ServeHTTP(&discard{header: http.Header{}}, d().Request("/"))
					letPass(time.Second / perSecond)
				}
			})
			lines, bytes := float64(v.lines)/seconds, float64(v.bytes)/seconds
			row := fmt.Sprintf("| %s | %.0f | %.0f kB | %.1f GB |", tt.name, lines, bytes/1e3,
				bytes*86400/1e9)
			t.Log(row)
			assert.Contains(t, string(guide), row)
		})
	}
}
