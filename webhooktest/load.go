package webhooktest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/internal/deliveryfile"
)

// Recorded is a delivery that [Load] has read from a file.
type Recorded struct {
	Name string // the name of the file without its folder and ".http"
	*Delivery
}

// Load reads the recorded deliveries whose names match the pattern, which has
// the form that [fs.Glob] takes, such as "deliveries/*.http". It returns them in
// the order of their names. It is an error if no file matches. If the files are in a
// Git repository, its .gitattributes needs the line "*.http -text": see [Read].
func Load(fsys fs.FS, pattern string) ([]Recorded, error) {
	names, err := fs.Glob(fsys, pattern)
	if err != nil {
		return nil, fmt.Errorf("webhooktest: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("webhooktest: no file matches %q", pattern)
	}
	slices.Sort(names)
	all := make([]Recorded, len(names))
	for i, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("webhooktest: %w", err)
		}
		d, err := Read(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("webhooktest: %s: %w", name, err)
		}
		all[i] = Recorded{Name: strings.TrimSuffix(path.Base(name), ".http"), Delivery: d}
	}
	return all, nil
}

// Read reads one recorded delivery: a complete HTTP/1.1 request, as package record and
// [Delivery.Write] write it and [http.ReadRequest] reads it. It leaves out the header
// lines that begin with "Geminihook-", in which package record tells what became of
// the delivery.
//
// It returns an error if the input is not a request, or if it ends before or goes on
// after its Content-Length. Git causes both when it changes the ends of the lines in a
// body. To prevent that, put the line "*.http -text" into the file .gitattributes.
func Read(r io.Reader) (*Delivery, error) {
	buffered := bufio.NewReader(r)
	req, err := http.ReadRequest(buffered)
	if err != nil {
		return nil, fmt.Errorf("not an HTTP request: %w", err)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, fmt.Errorf("the body is shorter than its Content-Length%s: %w", lineEnds, err)
	}
	left, err := io.Copy(io.Discard, buffered)
	if err != nil {
		return nil, err
	}
	if left > 0 {
		return nil, fmt.Errorf("%d bytes are left over after the body, which has %d by its Content-Length%s",
			left, len(body), lineEnds)
	}
	req.Header.Del("Content-Length") // Write sets it, because tests change the body
	deliveryfile.Strip(req.Header)
	return &Delivery{Header: req.Header, Body: body}, nil
}

const lineEnds = " (if Git has changed LF to CRLF or back, put the line \"*.http -text\" into .gitattributes " +
	"and check the file out again)"

// Write writes the delivery as an HTTP/1.1 request with its headers and body
// unchanged. [Read] reads it back.
func (d *Delivery) Write(w io.Writer) error {
	content := deliveryfile.Encode(d.Header, d.Body, int64(len(d.Body)))
	_, err := w.Write(content)
	return err
}
