package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVolumeIsCurrent: the table in docs/scale.md is what the costs in
// docs/benchmarks.md amount to. After a change of either, run: go run . -out ../docs volume
func TestVolumeIsCurrent(t *testing.T) {
	benchmarks, err := os.ReadFile("../docs/benchmarks.md")
	require.NoError(t, err)
	page, err := os.ReadFile("../docs/scale.md")
	require.NoError(t, err)
	costs, err := readCosts(string(benchmarks), string(page))
	require.NoError(t, err)
	written, err := readTable(string(page), "<!-- begin volume -->")
	require.NoError(t, err)
	assert.Equal(t, volumeTable(costs).rows, written.rows)
}

func TestVolumeRow(t *testing.T) {
	database := scaledStore{"a store", []limit{serverCPUs, logWrites, disk}, false}
	file := scaledStore{"a file", []limit{oneWriter, disk}, true}
	c := measuredCosts{
		clientCPU: 60 * time.Microsecond, receiverCPU: 40 * time.Microsecond,
		engineCPU: 200 * time.Microsecond, trips: 2, wire: 500, logged: 1000, stored: 200,
		loggedOfMany: 3000, perSecond: 2000,
	}
	day := 24 * time.Hour
	// A day of 8.64 million events has 100 per second, and 1,000 at the peak.
	for _, tt := range []struct {
		name  string
		store scaledStore
		in    volume
		want  []string
	}{
		{"a busy hour", database, volume{8.64e6, day}, []string{
			"10^7", "a store", "1", "1", "CPU 2 %", "2", "500 kB/s", "8.64 GB", "1.73 GB",
		}},
		{"more than a server", database, volume{8.64e8, 10 * day}, []string{
			"10^9", "a store", "10", "3", "log 300 %", "200", "50.0 MB/s", "2.59 TB", "1.73 TB",
		}},
		{"most of a disk", database, volume{8.64e6, 500 * day}, []string{
			"10^7", "a store", "1", "1", "disk space 86 %", "2", "500 kB/s", "25.9 GB", "864 GB",
		}},
		{"the CPU of a server", database, volume{8.64e7, time.Hour}, []string{
			"10^8", "a store", "1", "1", "CPU 25 %", "20", "5.00 MB/s", "86.4 GB", "720 MB",
		}},
		{"one writer", file, volume{8.64e6, day}, []string{
			"10^7", "a file", "1", "1", "the one writer 100 %", "2", "500 kB/s", "8.64 GB", "1.73 GB",
		}},
		{"more than one writer", file, volume{8.64e7, day}, []string{
			"10^8", "a file", "", "too much for one", "the one writer 1000 %", "", "", "", "",
		}},
		{"next to nothing", database, volume{1e4, day}, []string{
			"10^4", "a store", "1", "1", "CPU below 1 %", "1", "579 B/s", "10.0 MB", "2.00 MB",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, tt.store.row(c, tt.in))
		})
	}
}

func TestReadTable(t *testing.T) {
	const page = `
# A

| x | y |
| --- | ---: |
| no | 0 |

# B

text

| x | time | n |
| --- | ---: | ---: |
| a | 1.50 µs | 7.5 |
| b |  | |

more

| z |
`
	table, err := readTable(page, "# B")
	require.NoError(t, err)
	assert.Equal(t, []string{"x", "time", "n"}, table.head)
	assert.Len(t, table.rows, 2)
	c := &cells{}
	assert.Equal(t, 1500*time.Nanosecond, c.duration(table.row("a"), "time"))
	assert.InDelta(t, 7.5, c.number(table.row("a"), "n"), 0)
	assert.Zero(t, c.duration(table.row("b"), "time"))
	assert.Zero(t, c.number(table.row("b"), "n"))
	require.NoError(t, c.err)
	for name, read := range map[string]func(c *cells){
		"no row":      func(c *cells) { c.number(table.row("c"), "n") },
		"no column":   func(c *cells) { c.duration(table.row("a"), "m") },
		"no number":   func(c *cells) { c.number(table.row("a"), "x") },
		"no duration": func(c *cells) { c.duration(table.row("a"), "x") },
	} {
		c := &cells{}
		read(c)
		require.Error(t, c.err, name)
	}
	_, err = readTable(page, "# C")
	require.ErrorContains(t, err, "# C")
}
