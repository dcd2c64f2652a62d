package geminihook_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadmeCode: every Go block of a README is a part of a Go file, which the
// compiler checks. The file is any in the README's folder or below.
func TestReadmeCode(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```")
	for _, readme := range files(t, ".", "README.md") {
		var sources []string
		for _, name := range files(t, filepath.Dir(readme), "*.go") {
			sources = append(sources, squeeze(read(t, name)))
		}
		for i, block := range blocks.FindAllStringSubmatch(read(t, readme), -1) {
			found := false
			for _, source := range sources {
				found = found || strings.Contains(source, squeeze(block[1]))
			}
			assert.True(t, found, "%s: block %d is in no Go file:\n%s", readme, i+1, block[1])
		}
	}
}

// TestFirstScreen: the program has at most 30 lines, and the promise is in the
// package's documentation in the same words.
func TestFirstScreen(t *testing.T) {
	readme := read(t, "README.md")
	_, program, _ := strings.Cut(readme, "```go\n")
	program, _, _ = strings.Cut(program, "```")
	assert.LessOrEqual(t, strings.Count(program, "\n"), 30)
	const promise = "Each event is handled at least once. At most one run of the function is active at a time, as long as it finishes " +
		"within its lease. What the function writes in the store's own database through a Transactor happens exactly once. " +
		"For any other effect, use Event.ID as an idempotency key."
	plain := strings.NewReplacer("`", "", "[", "", "]", "", "// ", "")
	for _, name := range []string{"README.md", "webhook.go"} {
		assert.Contains(t, strings.Join(strings.Fields(plain.Replace(read(t, name))), " "), promise, name)
	}
}

// squeeze leaves the words and one space between them.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// files returns the files below dir whose name matches.
func files(t *testing.T, dir, pattern string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if ok, _ := filepath.Match(pattern, filepath.Base(name)); ok && err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}
