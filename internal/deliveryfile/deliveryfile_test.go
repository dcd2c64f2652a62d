package deliveryfile_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/geminihook/geminihook/internal/deliveryfile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEncode(t *testing.T) {
	header := http.Header{"A": {"1", "2"}, "Geminihook-Result": {"failed"}}
	encoded := deliveryfile.Encode(header, []byte("{}"), 5)
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(encoded)))
	require.NoError(t, err)
	assert.Equal(t, header["A"], r.Header["A"])
	body, err := io.ReadAll(r.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "the body is shorter than its length")
	assert.Equal(t, "{}", string(body))

	deliveryfile.Strip(r.Header)
	r.Header.Del("Content-Length")
	assert.Equal(t, http.Header{"A": {"1", "2"}}, r.Header)
}
