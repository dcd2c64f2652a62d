package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain is also the main of the receivers that processes starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == receiverCommand {
		scale("", true, os.Args[1:])
	}
	os.Exit(m.Run())
}

// TestScale measures briefly what docs/scale.md has tables of.
func TestScale(t *testing.T) {
	page, err := os.ReadFile("../docs/scale.md")
	require.NoError(t, err)
	for _, s := range scalings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			dir := t.TempDir()
			file := filepath.Join(dir, "scale.md")
			require.NoError(t, os.WriteFile(file, page, 0o600))
			scale(dir, true, []string{s.name})
			written, err := os.ReadFile(file)
			require.NoError(t, err)
			marker := "<!-- begin " + s.name + " -->"
			was, err := readTable(string(page), marker)
			require.NoError(t, err)
			is, err := readTable(string(written), marker)
			require.NoError(t, err)
			assert.Equal(t, was.head, is.head, "the table in docs/scale.md is of the same kind")
			assert.NotEmpty(t, is.rows)
			assert.NotEqual(t, was.rows, is.rows)
		})
	}
}

func TestWriteSection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	const page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))
	for _, text := range []string{"new\n", "newer\n"} {
		require.NoError(t, writeSection(file, "x", text))
		written, err := os.ReadFile(file)
		require.NoError(t, err)
		want := "a\n<!-- begin x -->\n\n" + text + "\n<!-- end x -->\nb\n"
		assert.Equal(t, want, string(written))
	}
	require.ErrorContains(t, writeSection(file, "y", ""), "begin y")
}
