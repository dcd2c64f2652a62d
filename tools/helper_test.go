package tools_test

import (
	"io/fs"
	"os"
	"path"
	"testing"

	"github.com/stretchr/testify/require"
)

// repository holds all modules. The go command caches the results of tests, but
// does not see that files outside their module changed: run these with -count=1.
var repository = os.DirFS("..")

// read returns the text of a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(repository, name)
	require.NoError(t, err)
	return string(b)
}

// files returns the names of the files below dir that match a pattern.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(repository, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		matched, err := path.Match(pattern, d.Name())
		if matched && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, names, "files %s below %s", pattern, dir)
	return names
}
