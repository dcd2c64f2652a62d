package deliveries

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const runProgram = "GEMINIHOOK_RUN_PROGRAM"

// Main is a package's TestMain. It lets [Program] run the program itself: the test
// binary that was built already, with another beginning.
func Main(m *testing.M, program func()) {
	if os.Getenv(runProgram) != "" {
		program()
		return
	}
	os.Exit(m.Run())
}

// Program returns a command that runs the program under test, as a process with
// no other environment than PATH and the given variables.
func Program(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append([]string{runProgram + "=1", "PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

// NeedsSecret checks that the program refuses to start without a secret, and says
// why.
func NeedsSecret(t *testing.T, env ...string) {
	t.Helper()
	for _, secret := range []string{"", "whsec_", "whsec_...3frh"} {
		output, err := Program(t, append(env, "GEMINI_WEBHOOK_SECRET="+secret)...).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, "secret %q: %s", secret, output)
		assert.Equal(t, 1, exit.ExitCode(), "secret %q: %s", secret, output)
		assert.True(t, strings.Contains(string(output), "GEMINI_WEBHOOK_SECRET: "), "secret %q: %s",
			secret, output)
	}
}
