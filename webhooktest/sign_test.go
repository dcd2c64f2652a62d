package webhooktest_test

import (
	"fmt"
	"testing"

	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

func TestStaticPanics(t *testing.T) {
	assert.Panics(t, func() { webhooktest.Static("whsec_*") })
}

func TestRandomSecret(t *testing.T) {
	assert.NotEqual(t, webhooktest.RandomSecret(), webhooktest.RandomSecret())
}

// TestSignersHideTheirKeys checks that a testing library that prints a delivery
// does not print the key that signed it.
func TestSignersHideTheirKeys(t *testing.T) {
	for name, s := range map[string]webhooktest.Signer{
		"static": signer, "dynamic": webhooktest.Dynamic(webhooktest.Key(1)),
	} {
		d := webhooktest.NewBody(nil, s)
		assert.Equal(t, d, d.Clone(), name)
		var shown printed
		assert.Equal(&shown, d, webhooktest.NewBody(nil, s))
		dumped := fmt.Sprintf("% x", webhooktest.Key(1)[:3])
		for _, key := range []string{"geminihook-test", dumped} {
			assert.NotContains(t, shown.text, key, name)
		}
		assert.Contains(t, shown.text, "signers", name)
	}
}

// printed is a TestingT that keeps what is printed.
type printed struct{ text string }

func (p *printed) Errorf(format string, args ...any) { p.text += fmt.Sprintf(format, args...) }
