package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestContenders: whoever is measured does the work, for every case and size.
func TestContenders(t *testing.T) {
	for _, c := range verifyCases {
		for _, size := range sizes {
			d := delivery(size, c.signed)
			assert.Len(t, d.Body, size)
			for _, k := range contenders(c.secrets...) {
				if err := k.verify(d); c.genuine {
					assert.NoError(t, err, "%s: %s", c.name, k.name)
				} else {
					assert.Error(t, err, "%s: %s", c.name, k.name)
				}
			}
		}
	}
}

// TestAllocations: a delivery allocates less than one of the handler that
// Google's page shows, forged or genuine. That verification allocates nothing
// is a test of the root package.
func TestAllocations(t *testing.T) {
	const runs = 200
	genuine := inProcess(1, runs, 1, receivers(), right, 200)
	assert.Less(t, genuine[2].allocs, genuine[1].allocs)
	refused := forged(1, runs)
	assert.Less(t, refused[0].allocs, refused[2].allocs)
}

// TestProgram runs it as make bench does, but short.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	require.NoError(t, os.WriteFile(readme, []byte("before\n<!-- verify -->\nold\n<!-- /verify -->\n<!-- receive -->\n<!-- /receive -->\nafter\n"), 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "run", ".", "-quick", "-out", dir, "-readme", readme).CombinedOutput()
	require.NoError(t, err, "%s", out)
	written, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	require.NoError(t, err)
	assert.Equal(t, string(out), string(written))
	for _, kind := range storeKinds {
		assert.Contains(t, string(written), "| "+kind.name+" |")
	}
	for _, name := range []string{"verify.svg", "receive.svg"} {
		plot, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Contains(t, string(plot), "<svg")
	}
	changed, err := os.ReadFile(readme)
	require.NoError(t, err)
	assert.NotContains(t, string(changed), "old")
	assert.Equal(t, 2, strings.Count(string(changed), "| geminihook |"))
	assert.True(t, strings.HasPrefix(string(changed), "before\n") && strings.HasSuffix(string(changed), "\nafter\n"))
}

func TestReplaceWantsMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	require.NoError(t, os.WriteFile(file, []byte("no marks"), 0o600))
	require.ErrorContains(t, replace(file, "verify", "x"), `no marks "verify"`)
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	assert.Equal(t, "no marks", string(b))
}
