package geminihook_test

import (
	"errors"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
)

func TestStatusCode(t *testing.T) {
	for err, want := range map[error]int{
		nil:                                         200,
		geminihook.ErrMethod:                        405,
		geminihook.ErrTooLarge:                      413,
		geminihook.ErrHeader:                        400,
		geminihook.ErrTimestamp:                     400,
		geminihook.ErrSignature:                     400,
		geminihook.ErrPayload:                       400,
		geminihook.ErrForbidden:                     403,
		geminihook.ErrInProgress:                    503,
		geminihook.ErrStore:                         503,
		geminihook.ErrUnavailable:                   503,
		errors.New("other"):                         500,
		geminihook.ErrLeaseLost:                     500,
		geminihook.Permanent(geminihook.ErrPayload): 200,
		errors.Join(geminihook.ErrSignature, geminihook.ErrUnavailable):         503,
		errors.Join(geminihook.Permanent(errors.New("x")), geminihook.ErrStore): 503,
	} {
		assert.Equal(t, want, geminihook.StatusCode(err), "%v", err)
	}
	assert.NoError(t, geminihook.Permanent(nil))
}
