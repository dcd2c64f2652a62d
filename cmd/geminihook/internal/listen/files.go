package listen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/geminihook/geminihook"
)

// The numbers of files after which a folder is full. No genuine delivery is deleted, nor
// a file of an earlier run: the files are the user's.
const (
	maxGenuineFiles = 10_000
	maxRefusedFiles = 200
	refusedDir      = "refused"
)

// errReported is wrapped by an error that the user has seen before.
var errReported = errors.New("listen: reported before")

// files writes deliveries to files. A nil *files writes none.
type files struct {
	mu      sync.Mutex
	good    folder
	bad     refusedFiles
	written map[int64]bool // genuine groups that have a file
}

// folder is a folder with a bounded number of files.
type folder struct {
	path         string
	count, limit int
	full         bool // and the user knows it
}

// newFiles makes the folders. It returns nil if dir is empty.
func newFiles(dir string) (*files, error) {
	if dir == "" {
		return nil, nil
	}
	f := &files{
		good:    folder{path: dir, limit: maxGenuineFiles},
		bad:     refusedFiles{dir: filepath.Join(dir, refusedDir), limit: maxRefusedFiles},
		written: map[int64]bool{},
	}
	if err := os.MkdirAll(f.bad.dir, 0o700); err != nil {
		return nil, err
	}
	return f, f.good.recount()
}

// recount counts the deliveries that are in the folder now.
func (d *folder) recount() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	d.count = 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".http") {
			d.count++
		}
	}
	return nil
}

// genuine writes the first delivery of an event that can be written.
func (f *files) genuine(g *group, a *attempt, ev *geminihook.Event) error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written[g.number] {
		return nil
	}
	if err := f.good.write(fileName(ev.SentAt, string(ev.Type), ev.ID), a); err != nil {
		return err
	}
	f.written[g.number] = true
	return nil
}

// refused writes a delivery that was not accepted, unless its body is incomplete.
// The name tells "verify" when it was refused.
func (f *files) refused(g *group, a *attempt) error {
	if f == nil || a.cutOff {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bad.write("refused-"+fileName(a.at, g.typ, fmt.Sprint(g.id, a.cursor)), a)
}

// write writes a complete file or none, unless the folder is full.
func (d *folder) write(name string, a *attempt) error {
	if d.count >= d.limit { // unless the user has moved some away
		if err := d.recount(); err != nil {
			return err
		}
	}
	if d.count >= d.limit {
		if d.full {
			return fmt.Errorf("%s is full: %w", d.path, errReported)
		}
		d.full = true
		return fmt.Errorf("%s has %d deliveries and gets no more: move them or choose another folder",
			d.path, d.count)
	}
	d.full = false
	if err := writeFile(d.path, name, a); err != nil {
		return err
	}
	d.count++
	return nil
}
