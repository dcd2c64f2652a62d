package webhooktest_test

import (
	"testing"

	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
)

func TestStaticPanics(t *testing.T) {
	assert.Panics(t, func() { webhooktest.Static("whsec_*") })
}

func TestNewSecret(t *testing.T) {
	assert.NotEqual(t, webhooktest.NewSecret(), webhooktest.NewSecret())
}
