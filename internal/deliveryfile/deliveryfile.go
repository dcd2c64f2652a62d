// Package deliveryfile has the form of the files that hold deliveries: a complete
// HTTP/1.1 request, which http.ReadRequest reads.
package deliveryfile

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// Prefix begins the names of the header lines that are not part of the delivery but
// tell what became of it.
const Prefix = "Geminihook-"

// Encode returns the delivery as an HTTP/1.1 request. The length is its
// Content-Length, which exceeds the length of the body if the body is incomplete.
func Encode(header http.Header, body []byte, length int64) []byte {
	var b bytes.Buffer
	b.WriteString("POST / HTTP/1.1\r\nHost: localhost\r\n")
	_ = header.Write(&b) // a buffer never returns an error
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", length)
	b.Write(body)
	return b.Bytes()
}

// Strip removes the header lines with Prefix.
func Strip(header http.Header) {
	for name := range header {
		if strings.HasPrefix(name, Prefix) {
			delete(header, name)
		}
	}
}
