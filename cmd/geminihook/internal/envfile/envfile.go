// Package envfile changes one variable in a file of environment variables.
package envfile

import (
	"bytes"
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
	temp *os.File // will replace the file
}

// Open prepares a change of the file. It fails if the file cannot be replaced, so
// that a secret is not created that cannot be kept. Call [File.Close] afterwards.
func Open(path string) (*File, error) {
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
	if _, err := read(target); err != nil {
		return nil, err
	}
	if err := writable(target); err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(filepath.Dir(target), ".geminihook-*") // with mode 0600
	if err != nil {
		return nil, err
	}
	f := &File{path: target, temp: temp}
	if info, err := os.Stat(target); err == nil {
		if err := keepOwner(temp, info); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

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

// Value is [Get] for the text of a file.
func Value(text []byte, name string) (value string) {
	for line := range bytes.Lines(text) {
		if _, v, ok := parse(string(line), name); ok {
			value = v
		}
	}
	return value
}

// Set replaces the value of the variable and keeps all other lines. The file is
// replaced as a whole: after a failure it is unchanged. Its permissions become
// those that it had, but never wider than 0600. The value must not have spaces,
// quotation marks, or line breaks in it.
func (f *File) Set(name, value string) error {
	if strings.ContainsAny(value, " \t\r\n\"'`\\$#") {
		return errors.New("the value has characters that need quoting")
	}
	text, err := read(f.path) // again, as it may have changed
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(f.path); err == nil {
		mode &= info.Mode()
	}
	if _, err := f.temp.Write(set(text, name, value)); err != nil {
		return err
	}
	if err := errors.Join(f.temp.Chmod(mode), f.temp.Sync(), f.temp.Close()); err != nil {
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
	return nil
}

// Close removes what [Open] has created, unless [File.Set] has succeeded.
func (f *File) Close() {
	_ = f.temp.Close()
	_ = os.Remove(f.temp.Name()) // which is gone after Set
}

// set returns the text with a line for the variable in the place of its first
// one, or at the end.
func set(text []byte, name, value string) []byte {
	var out bytes.Buffer
	done := false
	for line := range bytes.Lines(text) {
		prefix, _, ok := parse(string(line), name)
		switch {
		case !ok:
			out.Write(line)
		case !done:
			out.WriteString(prefix + name + "=" + value + ending(line))
			done = true
		}
	}
	if !done {
		if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
			out.WriteByte('\n')
		}
		out.WriteString(name + "=" + value + "\n")
	}
	return out.Bytes()
}

// ending returns what ends the line.
func ending(line []byte) string {
	if bytes.HasSuffix(line, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// parse reads a line that sets the variable, perhaps after "export".
func parse(line, name string) (prefix, value string, ok bool) {
	rest := strings.TrimLeft(line, " \t")
	if after, found := strings.CutPrefix(rest, "export"); found &&
		strings.TrimLeft(after, " \t") != after {
		rest = strings.TrimLeft(after, " \t")
	}
	prefix = line[:len(line)-len(rest)]
	after, found := strings.CutPrefix(rest, name)
	after = strings.TrimLeft(after, " \t")
	value, ok = strings.CutPrefix(after, "=")
	if !found || !ok {
		return "", "", false
	}
	return prefix, unquote(strings.TrimSpace(value)), true
}

// unquote removes quotation marks, and a comment that follows white space.
func unquote(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		inside, after, closed := strings.Cut(value[1:], value[:1])
		if after = strings.TrimSpace(after); closed && (after == "" || after[0] == '#') {
			return inside
		}
		return value
	}
	if i := strings.IndexAny(value, " \t"); i >= 0 &&
		strings.HasPrefix(strings.TrimLeft(value[i:], " \t"), "#") {
		return value[:i]
	}
	return value
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
	if err == nil && len(text) > maxSize {
		return nil, fmt.Errorf("%s is too long for a file of environment variables", path)
	}
	return text, err
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
