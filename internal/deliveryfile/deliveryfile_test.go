package deliveryfile_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/geminihook/geminihook/internal/deliveryfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEncode(t *testing.T) {
	header := deliveryfile.Pick(http.Header{"A": {"1", "2"}, "Cookie": {"c"}, "B": nil}, "A", "B")
	assert.Equal(t, http.Header{"A": {"1", "2"}}, header)
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(deliveryfile.Encode(header, []byte("{}"), 5))))
	require.NoError(t, err)
	assert.Equal(t, header["A"], r.Header["A"])
	body, err := io.ReadAll(r.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "the body is shorter than its length")
	assert.Equal(t, "{}", string(body))
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, deliveryfile.Save(dir, "a.http", []byte("x")))
	info, err := os.Stat(filepath.Join(dir, "a.http"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	require.Error(t, deliveryfile.Save(dir, "missing/b.http", nil))
	require.Error(t, deliveryfile.Save(filepath.Join(dir, "missing"), "b.http", nil))
	names, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	assert.Empty(t, names, "no temporary file is left")
}
