package main

import (
	"os"
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

// TestReport measures briefly what make bench measures.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, measureAll(short).write(dir))
	written, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	require.NoError(t, err)
	for _, e := range engines {
		for _, kind := range e.kinds {
			rows := strings.Count(string(written), "| "+kind.name+" |")
			assert.Equal(t, 3, rows, "tables with a row of %s", kind.name)
		}
	}
	for _, name := range []string{"verify.svg", "receive.svg"} {
		plot, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Contains(t, string(plot), "<svg")
		assert.Contains(t, string(written), "("+name+")")
	}
}
