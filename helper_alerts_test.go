package geminihook_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// alert is a row of the table in docs/operations.md.
type alert struct {
	name      string
	condition string        // in PromQL
	holds     time.Duration // for how long, before the alert fires
}

// readAlerts reads the table.
func readAlerts(t *testing.T) (all []alert) {
	t.Helper()
	guide, err := os.ReadFile("docs/operations.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(guide), "\n| alert | condition | for | ")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	row := regexp.MustCompile("^\\| `(\\w+)` \\| `(.+)` \\| (\\w+) \\| .+ \\|$")
	for _, line := range strings.Split(table, "\n")[2:] {
		columns := row.FindStringSubmatch(line)
		require.NotNil(t, columns, line)
		holds, err := time.ParseDuration(columns[3])
		require.NoError(t, err, line)
		all = append(all, alert{name: columns[1], condition: columns[2], holds: holds})
	}
	return all
}

// sample is what was scraped, once per minute.
type sample map[string]float64

// fires returns in which minutes the alert fires.
func (a alert) fires(t *testing.T, samples []sample) []bool {
	t.Helper()
	fires := make([]bool, len(samples))
	held := 0 // minutes
	for now := range samples {
		if !a.met(t, samples[:now+1]) {
			held = 0
			continue
		}
		fires[now] = time.Duration(held)*time.Minute >= a.holds
		held++
	}
	return fires
}

// met evaluates the condition at the time of the last sample.
func (a alert) met(t *testing.T, samples []sample) bool {
	t.Helper()
	for term := range strings.SplitSeq(a.condition, " and ") {
		if !termMet(t, term, samples) {
			return false
		}
	}
	return true
}

var (
	increase = regexp.MustCompile(
		`^(?:sum\()?increase\((\w+(?:\{.*\})?)\[(\w+)\]\)\)? (\S+) (\d+)$`)
	gauge = regexp.MustCompile(`^(\w+) (\S+) (\d+)$`)
)

// termMet evaluates the increase of a counter, or a gauge. As in Prometheus, what
// is not there meets no condition, and has an increase only from its second sample on.
func termMet(t *testing.T, term string, samples []sample) bool {
	t.Helper()
	latest := samples[len(samples)-1]
	if m := gauge.FindStringSubmatch(term); m != nil {
		value, ok := latest[m[1]]
		return ok && compare(t, value, m[2], m[3])
	}
	m := increase.FindStringSubmatch(term)
	require.NotNil(t, m, term)
	window, err := time.ParseDuration(m[2])
	require.NoError(t, err, term)
	for _, s := range samples[max(len(samples)-1-minutes(window), 0) : len(samples)-1] {
		if first, ok := s[m[1]]; ok {
			return compare(t, latest[m[1]]-first, m[3], m[4])
		}
	}
	return false
}

func compare(t *testing.T, value float64, operator, number string) bool {
	t.Helper()
	n, err := strconv.ParseFloat(number, 64)
	require.NoError(t, err)
	switch operator {
	case ">":
		return value > n
	case ">=":
		return value >= n
	case "==":
		return value == n
	}
	require.Fail(t, "unknown operator", operator)
	return false
}
