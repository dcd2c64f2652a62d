package geminihook_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
)

func TestStatusCode(t *testing.T) {
	other := errors.New("disk full")
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nil", nil, 200},
		{"ErrMethod", geminihook.ErrMethod, 405},
		{"ErrTooLarge", geminihook.ErrTooLarge, 413},
		{"ErrHeader", geminihook.ErrHeader, 400},
		{"ErrTimestamp", geminihook.ErrTimestamp, 400},
		{"ErrSignature", geminihook.ErrSignature, 400},
		{"ErrPayload", geminihook.ErrPayload, 400},
		{"ErrForbidden", geminihook.ErrForbidden, 403},
		{"ErrInProgress", geminihook.ErrInProgress, 503},
		{"ErrStore", geminihook.ErrStore, 503},
		{"ErrUnavailable", geminihook.ErrUnavailable, 503},
		{"ErrLeaseLost", geminihook.ErrLeaseLost, 500},
		{"another", other, 500},
		{"wrapped", fmt.Errorf("tenant 7: %w", geminihook.ErrSignature), 400},
		{"Permanent", geminihook.Permanent(other), 200},
		{"Permanent refusal", geminihook.Permanent(geminihook.ErrPayload), 200},
		{"wrapped Permanent", fmt.Errorf("job 7: %w", geminihook.Permanent(other)), 200},
		{"Permanent before the store's failure", errors.Join(geminihook.ErrStore, geminihook.Permanent(other)), 200},
		{"unavailable before a refusal", errors.Join(geminihook.ErrSignature, geminihook.ErrUnavailable), 503},
		{"unavailable before forbidden", errors.Join(geminihook.ErrForbidden, geminihook.ErrUnavailable), 503},
		{"forbidden before a malformed payload", errors.Join(geminihook.ErrPayload, geminihook.ErrForbidden), 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, geminihook.StatusCode(tt.err))
		})
	}
}

func TestPermanent(t *testing.T) {
	cause := errors.New("disk full")
	err := geminihook.Permanent(cause)
	assert.ErrorIs(t, err, geminihook.ErrPermanent)
	assert.ErrorIs(t, err, cause)
	assert.EqualError(t, err, "disk full")
	assert.NoError(t, geminihook.Permanent(nil))
}
