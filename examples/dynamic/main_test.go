package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// TestOffline runs the program as "go run ." does without an API key.
func TestOffline(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, env(nil)), "%s", &out)
	for _, want := range []string{
		"static webhook registered", "received ping, signed v1 with whsec_...", "secret rotated",
		"received batch.succeeded, signed v1a", "it is ours: order-1042", "guessed URL    404",
	} {
		assert.Contains(t, out.String(), want)
	}
	for line := range strings.Lines(out.String()) { // fits a terminal
		assert.LessOrEqual(t, len(line), 100, line)
	}
}

func TestOnlineNeedsAnAddress(t *testing.T) {
	err := run(t.Context(), new(strings.Builder),
		env(map[string]string{"GEMINI_API_KEY": "x", "PUBLIC_URL": "http://insecure.example"}))
	require.ErrorContains(t, err, "PUBLIC_URL")
}
