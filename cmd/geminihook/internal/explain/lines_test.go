package explain_test

import (
	"strings"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLineEndings: a recording whose line endings were changed is not called truncated.
func TestLineEndings(t *testing.T) {
	const mixed = "{\r\n\"type\":\"batch.failed\",\n\"a\":1,\r\n\"b\":2\n}\n"
	long := "{" + strings.Repeat("\r\n \n", 20) + "\"type\":\"batch.failed\"}"
	toLF, toCRLF := replace("\r\n", "\n"), replace("\r\n", "\r\n", "\n", "\r\n")
	for _, tt := range []struct {
		name, signed, arrived, secret, hint string
	}{
		{"LF to CRLF", toLF(mixed), toCRLF(mixed), "", "changing CRLF to LF"},
		{"CRLF to LF", toCRLF(mixed), toLF(mixed), "", "changing LF to CRLF"},
		{"both to LF", mixed, toLF(mixed), "", "some of the line endings"},
		{"both to CRLF", mixed, toCRLF(mixed), "", "some of the line endings"},
		{"CRLF to CR CR LF", mixed, replace("\r\n", "\r\r\n")(mixed), "", "changing CRLF to LF"},
		{"too many to try, to LF", long, toLF(long), "", "its line endings were changed"},
		{"too many to try, to CRLF", long, toCRLF(long), "", "its line endings were changed"},
		{"another secret, too", mixed, toLF(mixed), webhooktest.RandomSecret(), "its line endings were changed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NotEqual(t, tt.signed, tt.arrived)
			keys := static
			if tt.secret != "" {
				keys = explain.Keys{Secrets: []string{tt.secret}}
			}
			signer := webhooktest.Static(webhooktest.TestSecret)
			d := webhooktest.NewBody([]byte(tt.signed)).Sign(sent, signer)
			v := explain.Explain(t.Context(), explain.Delivery{
				Header: d.Header, Body: []byte(tt.arrived), Expected: int64(len(tt.signed)),
			}, keys, sent)
			require.Len(t, v.Hints, 1)
			assert.Equal(t, []explain.Cause{explain.LineEndings}, v.Causes)
			assert.Contains(t, v.Hints[0], tt.hint)
		})
	}
}
