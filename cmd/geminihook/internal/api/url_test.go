package api_test

import (
	"testing"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/stretchr/testify/assert"
)

// TestSameURL: two spellings of a URL would otherwise become two webhooks, and each
// event would come twice.
func TestSameURL(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"https://example.com/gemini", "HTTPS://Example.com/gemini", true},
		{"https://example.com", "https://example.com/", true},
		{"https://example.com?a=1", "https://example.com/?a=1", true},
		{"https://example.com:443/gemini", "https://example.com/gemini", true},
		{"https://[2001:db8::1]:443/", "https://[2001:db8::1]/", true},
		{"https://example.com:8443/gemini", "https://example.com/gemini", false},
		{"https://example.com/gemini", "https://example.com/gemini/", false},
		{"https://example.com/gemini", "https://example.com/Gemini", false},
		{"http://example.com/", "https://example.com/", false},
		{"https://example.com/%zz", "https://example.com/%zz", true},
	} {
		assert.Equal(t, tt.same, api.SameURL(tt.a, tt.b), "%s %s", tt.a, tt.b)
	}
}
