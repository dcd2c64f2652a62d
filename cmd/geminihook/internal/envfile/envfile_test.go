package envfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSet(t *testing.T) {
	for _, tt := range []struct{ name, before, after string }{
		{"empty file", "", "S=new\n"},
		{"other lines", "A=1\n# S=comment\n\nB=2\n", "A=1\n# S=comment\n\nB=2\nS=new\n"},
		{"no newline at the end", "A=1", "A=1\nS=new\n"},
		{"in its place", "A=1\nS=old\nB=2\n", "A=1\nS=new\nB=2\n"},
		{"in its place, without a newline", "A=1\nS=old", "A=1\nS=new\n"},
		{"export", "export S='old'\n", "export S=new\n"},
		{"indented", "  S = old\n", "  S=new\n"},
		{"more than once", "S=a\nA=1\nexport S=b\n", "S=new\nA=1\n"},
		{"a longer name", "S2=x\nXS=y\nexportS=z\n", "S2=x\nXS=y\nexportS=z\nS=new\n"},
		{"CRLF", "A=1\r\nS=old\r\nB=2\r\n", "A=1\r\nS=new\r\nB=2\r\n"},
		{"bytes that are no text", "A=\xff\x00\nS=old\n", "A=\xff\x00\nS=new\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			require.NoError(t, os.WriteFile(path, []byte(tt.before), 0o600))
			f, err := envfile.Open(path)
			require.NoError(t, err)
			defer f.Close()
			require.NoError(t, f.Set("S", "new"))
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, tt.after, string(got))
			value, err := envfile.Get(path, "S")
			require.NoError(t, err)
			assert.Equal(t, "new", value)
			left, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			assert.Len(t, left, 1)
		})
	}
}

func TestGet(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	for text, want := range map[string]string{
		"":                    "",
		"S=a,b\n":             "a,b",
		`export S="a=="`:      "a==",
		"S=first\nS='last'\n": "last",
		"#S=a\nT=b":           "",
		"S=\r\n":              "",
		"S=a # comment\n":     "a",
		"S='a' # it's old\n":  "a",
		"S=a#b\n":             "a#b",
		"S=\"a # b\"\n":       "a # b",
		"S=\"":                "\"",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		value, err := envfile.Get(path, "S")
		require.NoError(t, err)
		assert.Equal(t, want, value, "%q", text)
	}
	value, err := envfile.Get(filepath.Join(t.TempDir(), "missing"), "S")
	require.NoError(t, err)
	assert.Empty(t, value)
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no such permissions
	}
	for _, before := range []fs.FileMode{0o644, 0o777, 0o600} {
		path := filepath.Join(t.TempDir(), ".env")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Chmod(path, before))
		f, err := envfile.Open(path)
		require.NoError(t, err)
		require.NoError(t, f.Set("S", "v"))
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o600), info.Mode(), "%v", before)
	}
}

func TestLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(target, []byte("A=1\n"), 0o600))
	require.NoError(t, os.Symlink(target, link))
	f, err := envfile.Open(link)
	require.NoError(t, err)
	require.NoError(t, f.Set("S", "v"))
	got, err := os.ReadFile(target)
	require.NoError(t, err)
	assert.Equal(t, "A=1\nS=v\n", string(got))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&fs.ModeSymlink, "it is still a link")
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	dangling, long := filepath.Join(dir, "dangling"), filepath.Join(dir, "long")
	require.NoError(t, os.Symlink(filepath.Join(dir, "nothing"), dangling))
	require.NoError(t, os.WriteFile(long, []byte(strings.Repeat("#", 1<<20+1)), 0o600))
	for _, path := range []string{dir, dangling, long, os.DevNull, filepath.Join(dir, "missing", ".env")} {
		_, err := envfile.Open(path)
		require.Error(t, err, path)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".geminihook*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// TestChangedMeanwhile: lines that others write between Open and Set are kept, and
// a value that would need quoting changes nothing.
func TestChangedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	f, err := envfile.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.WriteFile(path, []byte("LATE=1\n"), 0o600))
	for _, bad := range []string{"a\nB=1", "a b", `"a"`, "$(id)", "`id`", "a#b"} {
		require.Error(t, f.Set("S", bad))
	}
	require.NoError(t, f.Set("S", "v"))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "LATE=1\nS=v\n", string(got))
}
