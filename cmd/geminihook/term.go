package main

import (
	"io"
	"os"
)

const (
	green = "\x1b[32m"
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

// terminal says whether w is one, and so somebody looks at it as it comes.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// paint colours the text on a terminal, unless NO_COLOR is set.
func (e *env) paint(colour, text string) string {
	if !terminal(e.out) || e.getenv("NO_COLOR") != "" || e.getenv("TERM") == "dumb" {
		return text
	}
	return colour + text + reset
}
