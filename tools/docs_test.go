package tools_test

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestGoBlocks: every Go block of a README or a guide in docs is part of a Go
// file, which the compiler checks. For a README, the file is in its folder or
// below; for a guide, it is anywhere in the repository.
func TestGoBlocks(t *testing.T) {
	sources := map[string]string{}
	for _, name := range files(t, ".", "*.go") {
		sources[name] = squeeze(read(t, name))
	}
	isPart := func(block, dir string) bool {
		for name, source := range sources {
			if strings.HasPrefix(name, dir) && strings.Contains(source, squeeze(block)) {
				return true
			}
		}
		return false
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```")
	for _, page := range append(files(t, ".", "README.md"), files(t, "docs", "*.md")...) {
		dir := path.Dir(page) + "/"
		if dir == "./" || strings.HasPrefix(dir, "docs/") {
			dir = ""
		}
		for i, block := range blocks.FindAllStringSubmatch(read(t, page), -1) {
			assert.True(t, isPart(block[1], dir), "%s: block %d is in no Go file:\n%s", page, i+1,
				block[1])
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
	const promise = "Each event is handled at least once. " +
		"At most one run of the function is active at a time, as long as the function returns when its context ends. " +
		"What the function writes in the store's own database through a Transactor happens exactly once. " +
		"For any other effect, use Event.ID as an idempotency key."
	plain := strings.NewReplacer("`", "", "[", "", "]", "", "// ", "")
	for _, name := range []string{"README.md", "webhook.go"} {
		found := strings.Contains(squeeze(plain.Replace(read(t, name))), promise)
		assert.True(t, found, "%s does not promise: %s", name, promise)
	}
}

// squeeze leaves the words and one space between them.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
