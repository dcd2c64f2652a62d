package listen_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNested checks that a body that nests deeply is not indented: its 20 KB
// would become hundreds of megabytes.
func TestNested(t *testing.T) {
	nest := func(depth int) string {
		return strings.Repeat("[", depth) + strings.Repeat("]", depth)
	}
	b := start(t, listen.Config{})
	for i, tt := range []struct {
		name, body string
		pretty     bool
	}{
		{"flat", `{"type":"a","user_metadata":{"a":[1,"[[[{{{\"[["]}}`, true},
		{"deep", `{"type":"a","x":` + nest(9_000) + `}`, false},
		{"deep metadata", `{"type":"a","user_metadata":{"a":` + nest(9_000) + `}}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.deliver(webhooktest.NewBody([]byte(tt.body), signer).WrongSecret())
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var d delivery
			b.get("api/deliveries/"+itoa(i+1), http.StatusOK, &d)
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(50<<20))
			assert.Equal(t, tt.body, d.Body)
			assert.Equal(t, tt.pretty, d.Pretty != "")
			require.Contains(t, d.Decoded, `Type: "a"`)
		})
	}
}
