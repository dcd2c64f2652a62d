package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTroubleshooting checks that the command says what the guide quotes.
func TestTroubleshooting(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(b)
	}
	files, err := filepath.Glob("internal/explain/*.go")
	require.NoError(t, err)
	var said string
	for _, name := range append(files, "verify.go") {
		said += read(name)
	}
	said = regexp.MustCompile(`" \+\s+"`).ReplaceAllString(said, "")
	_, guide, ok := strings.Cut(read("../../docs/troubleshooting.md"), "| it says | so |")
	require.True(t, ok)
	guide, _, _ = strings.Cut(guide, "\n\n")
	rows := strings.Split(strings.TrimSpace(guide), "\n")[1:]
	assert.Greater(t, len(rows), 10)
	quoted := regexp.MustCompile("``(.+?)``|`(.+?)`")
	for _, row := range rows {
		says := strings.Split(row, " | ")[0]
		for _, quote := range quoted.FindAllStringSubmatch(says, -1) {
			for part := range strings.SplitSeq(strings.TrimPrefix(quote[1]+quote[2], "after "), "...") {
				for _, fixed := range []string{"milliseconds", "whsec_"} { // made of parts
					part = strings.TrimSpace(strings.ReplaceAll(part, fixed, ""))
				}
				assert.Contains(t, said, part, row)
			}
		}
	}
}
