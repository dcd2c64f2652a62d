package doctor_test

import (
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
	"github.com/stretchr/testify/assert"
)

func TestShell(t *testing.T) {
	assert.Equal(t, "geminihook setup -url https://example.com/a,b",
		doctor.Shell("geminihook", "setup", "-url", "https://example.com/a,b"))
	assert.Equal(t, `x 'https://example.com/?a=1&b=$(id)' '' 'it'\''s'`,
		doctor.Shell("x", "https://example.com/?a=1&b=$(id)", "", "it's"))
	assert.Empty(t, doctor.Shell())
}
