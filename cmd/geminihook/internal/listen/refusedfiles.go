package listen

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// refusedFiles are the files of deliveries that were not accepted. Strangers decide how
// many come, so there is a bound, within which they must not keep out what the user looks
// for: a delivery of Google's that the program refuses. When the folder is full, a file
// of this run makes room.
type refusedFiles struct {
	dir   string
	limit int
	kept  []refusedFile // of this run, the oldest first
}

// refusedFile is what counts when room is made.
type refusedFile struct {
	name     string
	source   string
	complete bool // has all three headers and a body
}

func newRefusedFile(name string, a *attempt) refusedFile {
	complete := len(a.body) > 0
	for _, h := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		complete = complete && a.header.Get(h) != ""
	}
	return refusedFile{name: name, source: a.source, complete: complete}
}

// write writes a delivery, unless all others are likelier to be Google's.
func (f *refusedFiles) write(name string, a *attempt) error {
	fresh := newRefusedFile(name, a)
	if len(f.kept) >= f.limit { // unless the user has moved some away
		f.kept = slices.DeleteFunc(f.kept, func(k refusedFile) bool {
			_, err := os.Lstat(filepath.Join(f.dir, k.name))
			return errors.Is(err, fs.ErrNotExist)
		})
	}
	if len(f.kept) >= f.limit {
		i := f.victim()
		if f.kept[i].complete && !fresh.complete {
			return nil
		}
		if err := os.Remove(filepath.Join(f.dir, f.kept[i].name)); err != nil {
			return err
		}
		f.kept = slices.Delete(f.kept, i, i+1)
	}
	if err := writeFile(f.dir, name, a); err != nil {
		return err
	}
	f.kept = append(f.kept, fresh)
	return nil
}

// victim returns the file that makes room: of those that cannot be Google's, if there
// are any, the oldest one of the source that has most of them.
func (f *refusedFiles) victim() (index int) {
	lacking := slices.ContainsFunc(f.kept, func(k refusedFile) bool { return !k.complete })
	shares := map[string]int{}
	for _, k := range f.kept {
		if !lacking || !k.complete {
			shares[k.source]++
		}
	}
	most := 0
	for i, k := range f.kept {
		if lacking && k.complete {
			continue
		}
		if shares[k.source] > most {
			index, most = i, shares[k.source]
		}
	}
	return index
}
