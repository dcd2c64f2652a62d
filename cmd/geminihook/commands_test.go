package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHelp: every command has a help with examples, in 80 columns, and every
// example names a command and flags that exist.
func TestHelp(t *testing.T) {
	flagLine := regexp.MustCompile(`(?m)^  -\S+ (\S+)$`)
	narrow(t, ok(t, nil, "help"))
	assert.Contains(t, ok(t, nil, "listen", "-h"), "\n\n  geminihook listen -forward http://127.0.0.1:8080/gemini\n  geminihook send ",
		"the layout stays")
	for _, c := range commands() {
		t.Run(c.name, func(t *testing.T) {
			help := ok(t, nil, c.name, "-h")
			assert.Contains(t, help, "usage: geminihook "+strings.TrimSpace(c.name+" "+c.args)+"\n")
			assert.Contains(t, help, "\nexamples:\n  ")
			for _, f := range flagLine.FindAllStringSubmatch(help, -1) {
				assert.Equal(t, strings.ToUpper(f[1]), f[1], "the name of a value")
			}
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

// TestPorts: no two programs of this repository listen on the same port by
// default, so that all of them can run at the same time.
func TestPorts(t *testing.T) {
	root := filepath.Join("..", "..")
	program := map[string]string{} // by port
	address := regexp.MustCompile(`"127\.0\.0\.1:([1-9][0-9]*)"`)
	sources, err := filepath.Glob(filepath.Join(root, "examples", "*", "*.go"))
	require.NoError(t, err)
	for _, name := range append(sources, "send.go", "listen.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, port := range address.FindAllStringSubmatch(string(text), -1) {
			if other, taken := program[port[1]]; taken {
				assert.Equal(t, filepath.Dir(other), filepath.Dir(name), "port %s", port[1])
			}
			program[port[1]] = name
		}
	}
	assert.GreaterOrEqual(t, len(program), 8)
	guide, err := os.ReadFile(filepath.Join(root, "docs", "first-hour.md"))
	require.NoError(t, err)
	for port, name := range program {
		assert.Contains(t, string(guide), "| "+port+" |", name)
	}
}
