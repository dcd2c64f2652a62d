package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDemo(t *testing.T) {
	t.Chdir("../..")
	var out strings.Builder
	require.NoError(t, run(&out), "%s", &out)
	assert.Contains(t, out.String(), "All 23 as expected")
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(line), 81, "with its newline, it fits a terminal: %s", line)
	}
}

func TestDemoElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	require.ErrorContains(t, run(new(strings.Builder)), "root of the repository")
}
