package explain_test

import (
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNumbers: numbers that an encoder writes in another form are not blamed on the
// secret.
func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ name, signed, arrived, hint string }{
		{"fraction lost", "1.0", "1", "in another form"},
		{"fraction added", "1", "1.0", "in another form"},
		{"two places", "5.00", "5", "in another form"},
		{"a zero lost", "5.50", "5.5", "in another form"},
		{"negative", "-3.0", "-3", "in another form"},
		{"exponent", "1000000", "1e+06", "in another form"},
		{"exponent, and a fraction", "1000000.0", "1e+06", "in another form"},
		{"exponent without a sign", "1e6", "1000000", "in another form"},
		{"exponent in upper case", "1E6", "1000000", "in another form"},
		{"rounded", "9007199254740993", "9007199254740992", "in another form"},
		{"rounded, with 18 digits", "123456789012345678", "123456789012345680", "in another form"},
		{"rounded, with an exponent", "123456789012345678", "1.2345678901234568e+17", "in another form"},
		{"rounded beyond repair", "123456789012345678901234567", "1.2345678901234568e+26", "digits that it left out are lost"},
		{"rounded by JavaScript", "12345678901234567890123", "12345678901234568000000", "digits that it left out are lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := func(number string) string {
				return `{"type":"batch.failed","user_metadata":{"n":` + number + `,"retries":3}}`
			}
			v := explained(t, body(tt.signed), body(tt.arrived))
			require.Len(t, v.Hints, 1)
			assert.Equal(t, []explain.Cause{explain.Numbers}, v.Causes)
			assert.Contains(t, v.Hints[0], tt.hint)
			assert.NotContains(t, v.Hints[0], tt.arrived+",")
		})
	}
	v := explained(t, `{"a":1.0,"b":[2.0,3.0]}`, `{"a":1,"b":[2,3]}`)
	assert.Equal(t, []explain.Cause{explain.Numbers}, v.Causes, "all of them")
}
