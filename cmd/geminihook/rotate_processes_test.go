package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/fakeapi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rounds is how often a test with many processes repeats. GEMINIHOOK_ROUNDS makes it
// look for rarer failures.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("GEMINIHOOK_ROUNDS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// TestManyProcesses: of commands that run at the same time with the same file, each
// keeps its secret.
func TestManyProcesses(t *testing.T) {
	command := build(t)
	for _, tt := range []struct {
		name string
		args func(i int) []string
	}{
		{"rotate", func(int) []string { return []string{"rotate", "-url", endpoint} }},
		{"setup", func(i int) []string {
			return []string{"setup", "-url", fmt.Sprintf("%s/%d", endpoint, i)}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for round := range rounds(t) {
				fake, vars := newAPI(t)
				path := filepath.Join(t.TempDir(), ".env")
				ok(t, vars, "setup", "-url", endpoint, "-env", path)
				out := runTogether(t, 8, func(i int) *exec.Cmd {
					c := exec.CommandContext(t.Context(), command,
						append(tt.args(i), "-env", path)...)
					c.Env = os.Environ()
					for name, value := range vars {
						c.Env = append(c.Env, name+"="+value)
					}
					return c
				})
				assertKept(t, fake, path, out)
				left, err := os.ReadDir(filepath.Dir(path))
				require.NoError(t, err)
				assert.Len(t, left, 1, "only the file is left")
				require.False(t, t.Failed(), "round %d", round)
			}
		})
	}
}

// runTogether runs n processes that start up to 100 ms apart, and returns what they
// print.
func runTogether(t *testing.T, n int, newCommand func(i int) *exec.Cmd) string {
	t.Helper()
	outputs := make(chan string, n)
	for i := range n {
		c := newCommand(i)
		wait := time.NewTimer(rand.N(100 * time.Millisecond))
		go func() {
			<-wait.C
			out, err := c.CombinedOutput()
			assert.NoError(t, err, "%s", out)
			outputs <- string(out)
		}()
	}
	var all strings.Builder
	for range n {
		all.WriteString(<-outputs)
	}
	return all.String()
}

// assertKept requires that each valid secret of the webhooks is in the file.
func assertKept(t *testing.T, fake *fakeapi.Server, path, out string) {
	t.Helper()
	text := readable(t, path)
	kept := split(strings.TrimPrefix(strings.TrimSpace(text), secretVariable+"="))
	var all []string
	for _, id := range fake.IDs() {
		all = append(all, fake.Secrets(id)...)
	}
	assert.Len(t, all, 9)
	assert.ElementsMatch(t, all, kept, out)
}
