package main

import (
	"errors"
	"io"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// env is the environment of a command.
type env struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string

	examples []string // of the command that runs
}

// usageError describes what is wrong with the command line.
type usageError struct{ text string }

func (u *usageError) Error() string { return u.text }

// errReported is the error of a command whose output already says what is wrong.
var errReported = errors.New("reported")
