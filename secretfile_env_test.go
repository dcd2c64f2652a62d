package geminihook_test

import (
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSecretFileVariable: A and B in a text stand for secrets.
func TestSecretFileVariable(t *testing.T) {
	a, b := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "S=A\n", "A"},
		{"a list", "S=A,B\n", "A B"},
		{"other lines", "# comment\n\nX=1\nS=A\nY=2\n", "A"},
		{"no newline at the end", "X=1\nS=A", "A"},
		{"CRLF", "X=1\r\nS=A\r\nY=2\r\n", "A"},
		{"export", "export S=A\n", "A"},
		{"export and tabs", "\texport\tS=A\n", "A"},
		{"spaces", "  S = A  \n", "A"},
		{"quotation marks", `S="A"` + "\n", "A"},
		{"quotation marks after spaces", `S = "A" ` + "\r\n", "A"},
		{"single ones", "S='A,B'\n", "A B"},
		{"a list with spaces", `S="A, B"` + "\n", "A B"},
		{"a comment", "S=A # since Monday\n", "A"},
		{"a comment after quotation marks", `S="A" # since Monday` + "\n", "A"},
		{"the last one counts", "S=A\nexport S='B'\n", "B"},
		{"the last one counts, not a comment", "S=A\n#S=B\n", "A"},
		{"a byte order mark", "\ufeffS=A\n", "A"},
		{"longer names", "S2=x\nXS=y\nS=A\nexportS=z\nSX=B\n", "A"},
		{"another case", "S=A\ns=B\n", "A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := newSecretFile(t, strings.NewReplacer("A", a, "B", b).Replace(tt.text))
			f.Variable = "S"
			require.NoError(t, f.Refresh(t.Context()))
			var accepted []string
			for _, secret := range []struct{ name, text string }{{"A", a}, {"B", b}} {
				if verifySigned(f, secret.text) == nil {
					accepted = append(accepted, secret.name)
				}
			}
			assert.Equal(t, tt.want, strings.Join(accepted, " "))
		})
	}
}

func TestSecretFileVariableRefuses(t *testing.T) {
	good := webhooktest.RandomSecret()
	for _, tt := range []struct{ name, text, want string }{
		{"not set", "X=" + good, "has no line that sets S"},
		{"in a comment", "# S=" + good, "has no line that sets S"},
		{"no sign", "S " + good, "has no line that sets S"},
		{"empty", "S=\n", "secret is empty"},
		{"empty in the last line", "S=" + good + "\nS=\n", "secret is empty"},
		{"one quotation mark", `S="` + good, "secret is quoted"},
		{"a bad one", "S=" + good + ",your_webhook_secret", "secret 2 of 2 is a placeholder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := newSecretFile(t, tt.text)
			f.Variable = "S"
			err := f.Refresh(t.Context())
			require.ErrorIs(t, err, geminihook.ErrUnavailable)
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), good[6:20])
		})
	}
}

func TestSecretFileByteOrderMark(t *testing.T) {
	secret := webhooktest.RandomSecret()
	f, _ := newSecretFile(t, "\ufeff"+secret+"\r\n")
	require.NoError(t, verifySigned(f, secret))
}
