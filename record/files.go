package record

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	incomplete = string(rejected) + "-incomplete-"
	suffix     = ".http"
	temporary  = ".recording-"
)

// write writes the file of a delivery and removes the oldest files of its kind if
// there are too many. It reports whether the new file was kept, and returns what was
// removed.
func (r *Recorder) write(
	k kind, name string, d *delivery,
) (kept bool, removed []history, err error) {
	if r.Dir == "" {
		return false, nil, errors.New("record: Recorder.Dir is empty")
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return false, nil, err
	}
	past, ok := r.history(name)
	if !ok && k == processed {
		past, ok = r.history(d.fileName(failed))
	}
	now := r.now()
	if !ok {
		past.first = now
	}
	d.setAttempts(past.first, now, max(past.attempts+1, d.attempt))
	if err := r.save(name, d.content(), now); err != nil {
		return false, nil, err
	}
	return r.prune(k, name)
}

// save writes a file with mode 0600 and the given modification time. If it fails, no
// part of the file is there.
func (r *Recorder) save(name string, content []byte, at time.Time) error {
	file, err := os.CreateTemp(r.Dir, temporary+"*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Chtimes(file.Name(), at, at)
	}
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(r.Dir, name))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// recorded is a file in the folder.
type recorded struct {
	name string
	at   time.Time // the time of the last attempt
	rank int       // files of a lower rank are removed first
}

// prune removes the oldest files of a kind until MaxFiles are left. Files without
// complete headers go first, and the new file goes last unless it is one of them. It
// reports whether the new file was kept, and returns what the others told.
func (r *Recorder) prune(k kind, added string) (kept bool, removed []history, err error) {
	all, err := r.list(k, added)
	if err != nil {
		return false, nil, err
	}
	kept = true
	limit := max(cmp.Or(r.MaxFiles, 100), 1)
	for _, file := range all[:max(len(all)-limit, 0)] {
		past, _ := r.history(file.name)
		existed, err := r.remove(file.name)
		switch {
		case err != nil:
			return false, removed, err
		case file.name == added:
			kept = false
		case existed: // and no other process has removed it
			removed = append(removed, past)
		}
	}
	return kept, removed, nil
}

// list returns the files of a kind, beginning with the one that is removed first. It
// removes what was left by a process that was killed.
func (r *Recorder) list(k kind, added string) (all []recorded, err error) {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil { // another process has removed it
			continue
		}
		name, at := entry.Name(), info.ModTime()
		switch {
		case strings.HasPrefix(name, temporary) && r.now().Sub(at) > time.Hour:
			_, _ = r.remove(name)
		case strings.HasPrefix(name, incomplete):
			if k == rejected {
				all = append(all, recorded{name: name, at: at, rank: 0})
			}
		case name == added: // the newest, even if the clock was set back
			all = append(all, recorded{name: name, at: at, rank: 2})
		case strings.HasPrefix(name, string(k)+"-") && strings.HasSuffix(name, suffix):
			all = append(all, recorded{name: name, at: at, rank: 1})
		}
	}
	slices.SortFunc(all, func(a, b recorded) int {
		return cmp.Or(a.rank-b.rank, a.at.Compare(b.at), strings.Compare(a.name, b.name))
	})
	return all, nil
}

// remove removes a file and reports whether it existed.
func (r *Recorder) remove(name string) (existed bool, err error) {
	err = os.Remove(filepath.Join(r.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (r *Recorder) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
