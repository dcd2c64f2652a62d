package listen

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

// writeFile writes a complete file or none.
func writeFile(dir, name string, a *attempt) error {
	temp, err := os.CreateTemp(dir, ".recording-*")
	if err != nil {
		return err
	}
	err = essential(a).Write(temp)
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

// essential returns the delivery with the headers that "verify" and "send" need.
// The others may hold cookies and credentials of whatever is in between.
func essential(a *attempt) *webhooktest.Delivery {
	d := &webhooktest.Delivery{Header: http.Header{}, Body: bytes.Clone(a.body)}
	for _, h := range []string{"Content-Type", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if values := a.header.Values(h); len(values) > 0 {
			d.Header[h] = values
		}
	}
	return d
}

// fileName returns a name without characters that are special to a file system,
// a shell, or a terminal.
func fileName(at time.Time, typ, id string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.':
			return r
		}
		return '_'
	}, typ)
	digest := sha256.Sum256([]byte(id))
	return fmt.Sprintf("%s-%.64s-%x.http", at.UTC().Format("20060102T150405Z"), plain, digest[:16])
}
