package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOffline runs the program as a reader of the README does.
func TestOffline(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, func(string) string { return "" }))
	assert.True(t, strings.HasSuffix(out.String(), "\n300 jobs, 300 results, each once\n"), out.String())
	assert.Regexp(t, `interaction.incomplete +0 +20 +20`, out.String())
	assert.Regexp(t, `batch.succeeded +\d+ +\d+ +120`, out.String())
	t.Log("\n" + out.String())
}

// TestBadSecret: a secret that cannot be one ends the program.
func TestBadSecret(t *testing.T) {
	t.Chdir(t.TempDir())
	err := run(t.Context(), &strings.Builder{}, func(name string) string { return "short" })
	require.ErrorContains(t, err, "GEMINI_WEBHOOK_SECRET")
}
