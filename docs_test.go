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

// TestGoBlocks: every Go block of a README or a guide in docs is part of a Go
// file, which the compiler checks. For a README, the file is in its folder or
// below; for a guide, it is anywhere in the repository.
func TestGoBlocks(t *testing.T) {
	sources := map[string]string{}
	for _, name := range files(t, ".", "*.go") {
		sources[name] = squeeze(read(t, name))
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```")
	for _, page := range append(files(t, ".", "README.md"), files(t, "docs", "*.md")...) {
		dir := filepath.Dir(page) + "/"
		if dir == "./" || strings.HasPrefix(dir, "docs/") {
			dir = ""
		}
		for i, block := range blocks.FindAllStringSubmatch(read(t, page), -1) {
			found := false
			for name, source := range sources {
				found = found || strings.HasPrefix(name, dir) && strings.Contains(source, squeeze(block[1]))
			}
			assert.True(t, found, "%s: block %d is in no Go file:\n%s", page, i+1, block[1])
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
