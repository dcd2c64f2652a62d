// Package deliveryfile writes deliveries to files.
package deliveryfile

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// Encode returns the delivery as an HTTP/1.1 request. The length is its
// Content-Length, which is more than the body has if the body is incomplete.
func Encode(header http.Header, body []byte, length int64) []byte {
	var b bytes.Buffer
	b.WriteString("POST / HTTP/1.1\r\nHost: localhost\r\n")
	_ = header.Write(&b) // a buffer never returns an error
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", length)
	b.Write(body)
	return b.Bytes()
}

// Pick returns the headers of the given names, which must be canonical.
func Pick(header http.Header, names ...string) http.Header {
	picked := http.Header{}
	for _, name := range names {
		if values := header[name]; len(values) > 0 {
			picked[name] = values
		}
	}
	return picked
}

// Save writes a complete file with mode 0600, or none.
func Save(dir, name string, content []byte) error {
	temp, err := os.CreateTemp(dir, ".recording-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
