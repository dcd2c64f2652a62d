package tools_test

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A directory in dependabot.yml, which may be a pattern.
var dependabotDirectory = regexp.MustCompile(`(?m)^\s+- (/\S*)$`)

// TestDependabot: every module's dependencies are kept up to date, and no directory is
// one that is gone.
func TestDependabot(t *testing.T) {
	found := dependabotDirectory.FindAllStringSubmatch(read(t, ".github/dependabot.yml"), -1)
	require.NotEmpty(t, found)
	used := map[string]bool{}
	for _, name := range files(t, ".", "go.mod") {
		if exempt(name) || !strings.Contains(read(t, name), "require") {
			continue
		}
		module := path.Join("/", path.Dir(name))
		listed := false
		for _, directory := range found {
			matched, err := path.Match(directory[1], module)
			require.NoError(t, err)
			if matched {
				listed, used[directory[1]] = true, true
			}
		}
		assert.True(t, listed, "dependabot.yml does not list %s", module)
	}
	for _, directory := range found {
		assert.True(t, used[directory[1]], "dependabot.yml lists a folder without a module: %s",
			directory[1])
	}
}
