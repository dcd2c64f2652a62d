package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDeleteNarrow checks that a long URL does not make the output wider than 80
// columns.
func TestDeleteNarrow(t *testing.T) {
	_, vars := newAPI(t)
	ok(t, vars, "setup", "-url", "https://purple-field.trycloudflare.com/gemini")
	assert.Contains(t, ok(t, vars, "delete", "-yes", "webhook-1"), "to\nhttps://purple-field")
}

func TestDelete(t *testing.T) {
	fake, vars := newAPI(t)
	ok(t, vars, "setup", "-url", endpoint)
	ok(t, vars, "setup", "-url", endpoint+"2")
	status, _, _ := call(t, "y\n", vars, "delete", "webhook-1")
	assert.Equal(t, exitUsage, status, "a pipe is nobody who confirms")
	assert.Len(t, fake.IDs(), 2)
	assert.Contains(t, ok(t, vars, "delete", "-yes", "webhook-1"), "Deleted webhook-1")
	assert.JSONEq(t, `{"id":"webhook-2","url":"`+endpoint+`2","deleted":true}`,
		ok(t, vars, "delete", "-yes", "-json", "webhook-2"))
	assert.Empty(t, fake.IDs())
	status, _, errs := call(t, "", vars, "delete", "-yes", "webhook-1")
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, errs, "404")
}

func TestConfirm(t *testing.T) {
	for in, want := range map[string]bool{
		"y\n":      true,
		"YES\n":    true,
		"n\n":      false,
		"\n":       false,
		"":         false,
		"yellow\n": false,
	} {
		var out strings.Builder
		assert.Equal(t, want, confirm(strings.NewReader(in), &out, "Sure? "), "%q", in)
		assert.True(t, strings.HasPrefix(out.String(), "Sure? "))
	}
	null, err := os.Open(os.DevNull) // a character device, like a terminal, at which nobody sits
	require.NoError(t, err)
	defer null.Close()
	assert.True(t, interactive(null))
	assert.False(t, interactive(strings.NewReader("y\n")))
}
