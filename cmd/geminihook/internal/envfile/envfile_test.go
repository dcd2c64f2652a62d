package envfile_test

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf16"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// open opens the file and closes it at the end of the test.
func open(t *testing.T, path string) *envfile.File {
	t.Helper()
	f, err := envfile.Open(t.Context(), path, func() {})
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

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
		{"CRLF, at the end", "A=1\r\n", "A=1\r\nS=new\r\n"},
		{"CRLF, without one at the end", "A=1\r\nS=old", "A=1\r\nS=new\r\n"},
		{"a byte order mark", "\ufeffS=old\nA=1\n", "\ufeffS=new\nA=1\n"},
		{"a byte order mark before another line", "\ufeffA=1\n", "\ufeffA=1\nS=new\n"},
		{"nothing but a byte order mark", "\ufeff", "\ufeffS=new\n"},
		{"bytes that are no text", "A=\xff\x00\nS=old\n", "A=\xff\x00\nS=new\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			require.NoError(t, os.WriteFile(path, []byte(tt.before), 0o600))
			f := open(t, path)
			require.NoError(t, f.Set("S", "new"))
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, tt.after, string(got))
			value, err := envfile.Get(path, "S")
			require.NoError(t, err)
			assert.Equal(t, "new", value)
			f.Close()
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
		"\ufeffS=a\r\n":       "a",
		"\ufeff":              "",
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
		f := open(t, path)
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
	f := open(t, link)
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
		_, err := envfile.Open(t.Context(), path, func() {})
		require.Error(t, err, path)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".geminihook*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// TestOtherEncodings: the lines of a file in UTF-16 or UTF-32 would go unnoticed, or be
// damaged. Windows PowerShell adds a line in UTF-16 to a file of another encoding.
func TestOtherEncodings(t *testing.T) {
	wide := func(order binary.AppendByteOrder, text string) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
	const text = "A=1\r\nS=old\r\n"
	for _, tt := range []struct{ name, text string }{
		{"little-endian", wide(binary.LittleEndian, "\ufeff"+text)},
		{"big-endian", wide(binary.BigEndian, "\ufeff"+text)},
		{"little-endian without a mark", wide(binary.LittleEndian, text)},
		{"big-endian without a mark", wide(binary.BigEndian, text)},
		{"no letter of ASCII", wide(binary.LittleEndian, "\ufeff#\u65e5\u672c")},
		{"a line of it at the end", strings.Repeat("B=2\n", 100) + wide(binary.LittleEndian, text)},
		{"UTF-32", "S\x00\x00\x00=\x00\x00\x00a\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			_, err := envfile.Open(t.Context(), path, func() {})
			require.ErrorContains(t, err, "save it as UTF-8")
			_, err = envfile.Get(path, "S")
			require.ErrorContains(t, err, "save it as UTF-8")

			require.NoError(t, os.WriteFile(path, nil, 0o600))
			f := open(t, path)
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			require.Error(t, f.Set("S", "new"), "it may have changed meanwhile")
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, tt.text, string(got))
		})
	}
}

// TestChangedMeanwhile: lines that others write between Open and Set are kept, and
// a value that would need quoting changes nothing.
func TestChangedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	f := open(t, path)
	require.NoError(t, os.WriteFile(path, []byte("LATE=1\n"), 0o600))
	for _, bad := range []string{"a\nB=1", "a b", `"a"`, "$(id)", "`id`", "a#b"} {
		require.Error(t, f.Set("S", bad))
	}
	require.NoError(t, f.Set("S", "v"))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "LATE=1\nS=v\n", string(got))
}

// TestReplacedAtTheSameTime: a program that knows no lock can replace the file just
// after Set has, which Set reports: the value is nowhere then.
func TestReplacedAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, ".env"), filepath.Join(dir, "other")
	var stopped atomic.Bool
	replacing := make(chan struct{})
	go func() {
		defer close(replacing)
		for !stopped.Load() {
			assert.NoError(t, os.WriteFile(other, []byte("A=1\n"), 0o600))
			assert.NoError(t, os.Rename(other, path))
		}
	}()
	defer func() { stopped.Store(true); <-replacing }()
	for {
		f, err := envfile.Open(t.Context(), path, func() {})
		require.NoError(t, err)
		err = f.Set("S", "v")
		f.Close()
		if err != nil {
			assert.ErrorContains(t, err, "another program has replaced")
			return
		}
	}
}
