// Package envfile changes one variable in a file of environment variables.
package envfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const maxSize = 1 << 20 // bytes

// File is a file with lines of the form NAME=value, as shells, Docker and the
// dotenv libraries read it. It need not exist.
type File struct {
	path string
	lock *os.File
	temp *os.File    // will replace the file
	mode fs.FileMode // of the file that replaces it
	open bool        // whether every user could read the file
}

// Open prepares a change of the file. It fails if the file cannot be replaced, so
// that a secret is not created that cannot be kept. Call [File.Close] when
// done: until then, Open waits in every other process for the same file, because two
// that change it at once would lose what one of them writes. Waiting is called once if
// Open has to wait, which ends with the context.
func Open(ctx context.Context, path string, waiting func()) (*File, error) {
	target, err := filepath.EvalSymlinks(path) // a link remains a link
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s is a link to a file that does not exist", path)
		}
		target = path
	case err != nil:
		return nil, err
	}
	f := &File{path: target, mode: 0o600}
	if f.lock, err = lock(ctx, target, waiting); err != nil {
		return nil, err
	}
	if err := f.prepare(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// prepare creates the file that will replace the other one, with its owner and group.
func (f *File) prepare() (err error) {
	if _, err := read(f.path); err != nil {
		return err
	}
	if err := writable(f.path); err != nil {
		return err
	}
	if f.temp, err = os.CreateTemp(filepath.Dir(f.path), ".geminihook-*"); err != nil {
		return err
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil // there is no file, and the new one remains as CreateTemp makes it
	}
	f.mode = info.Mode().Perm()
	if f.mode&0o007 != 0 { // what umask leaves, and not chosen for a secret
		f.open = f.mode&0o004 != 0
		f.mode &= 0o600
	}
	if err := keepOwner(f.temp, info); err != nil {
		return err
	}
	return keepACL(f.temp.Name(), f.path)
}

// Narrows reports whether every user of the machine can read the file, and none but
// its owner after [File.Set].
func (f *File) Narrows() bool { return f.open }

// Get returns the value of the variable, without quotation marks, or "" if the
// file does not set it. If it is set more than once, the last line counts.
func (f *File) Get(name string) (string, error) { return Get(f.path, name) }

// Get is [File.Get] for a file that is only read. The file need not exist.
func Get(path, name string) (value string, err error) {
	text, err := read(path)
	if err != nil {
		return "", err
	}
	return Value(text, name), nil
}

// Set replaces the value of the variable and keeps all other lines. The file is
// replaced as a whole: after a failure it is unchanged, unless another program has
// replaced it meanwhile. It keeps its owner, group and permissions, but if others than
// these had any, all but the owner lose theirs. A new file has mode 0600. The value
// must not have spaces, quotation marks, or line breaks in it.
func (f *File) Set(name, value string) error {
	if strings.ContainsAny(value, " \t\r\n\"'`\\$#") {
		return errors.New("the value has characters that need quoting")
	}
	text, err := read(f.path) // again, as it may have changed
	if err != nil {
		return err
	}
	if _, err := f.temp.Write(set(text, name, value)); err != nil {
		return err
	}
	if err := errors.Join(f.temp.Chmod(f.mode), f.temp.Sync(), f.temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.temp.Name(), f.path); err != nil {
		return err
	}
	// So that the new name survives a power failure:
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil {
		_ = dir.Sync() // which not every system can do
		_ = dir.Close()
	}
	if now, err := f.Get(name); err != nil || now != value {
		return fmt.Errorf("another program has replaced %s at the same time", f.path)
	}
	return nil
}

// Close lets others change the file, and removes what [Open] has created, unless
// [File.Set] has succeeded.
func (f *File) Close() {
	if f.temp != nil {
		_ = f.temp.Close()
		_ = os.Remove(f.temp.Name()) // which is gone after Set
	}
	if f.lock != nil {
		unlock(f.lock)
		f.lock = nil
	}
}

// read returns the text of a regular file, or nothing if it does not exist.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s is too long for a file of environment variables", path)
	}
	if err := Check(text); err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return text, nil
}

// writable fails if the file exists and its owner has made it read-only: to
// replace it would be possible, but is not wanted.
func writable(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}
