//go:build !unix

package testserver

import (
	"errors"
	"os/exec"
)

func withoutRoot(*exec.Cmd, string) error { return errors.New("servers for tests need Unix") }
