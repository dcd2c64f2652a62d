package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestHelp: every command has a help with examples, in 80 columns, and every
// example names a command and flags that exist.
func TestHelp(t *testing.T) {
	narrow(t, ok(t, nil, "help"))
	for _, c := range commands() {
		t.Run(c.name, func(t *testing.T) {
			help := ok(t, nil, c.name, "-h")
			assert.Contains(t, help, "usage: geminihook "+strings.TrimSpace(c.name+" "+c.args)+"\n")
			assert.Contains(t, help, "\nexamples:\n  ")
			found := false
			for _, line := range c.examples {
				found = found || strings.Contains(line, "geminihook "+c.name)
				command, _, _ := strings.Cut(line, "|")
				for _, word := range strings.Fields(command) {
					if word[0] == '-' {
						assert.Contains(t, help, "\n  "+word, "a flag in the example %q", line)
					}
				}
			}
			assert.True(t, found)
		})
	}
}
