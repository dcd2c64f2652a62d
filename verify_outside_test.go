package geminihook_test

import (
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/require"
)

// TestOutsideVectors verifies what other projects have published: the examples of the
// specification, and a delivery that OpenAI calls real.
func TestOutsideVectors(t *testing.T) {
	for _, v := range vectorsIn(t, "outside.json") {
		t.Run(v.Name, func(t *testing.T) {
			now := func() time.Time { return time.Unix(v.Now, 0) }
			hmac := &geminihook.HMAC{Secrets: parseAll(t, v.Secrets), Now: now}
			ed := &geminihook.Ed25519{Now: now}
			for _, text := range v.PublicKeys {
				key, err := geminihook.ParsePublicKey(text)
				require.NoError(t, err)
				ed.Keys = append(ed.Keys, key)
			}
			verifier := geminihook.AnyOf(hmac, ed)
			_, err := verifier.Verify(t.Context(), v.header(), []byte(v.Body))
			require.NoError(t, err)
			_, err = verifier.Verify(t.Context(), v.header(), []byte(v.Body+" "))
			require.ErrorIs(t, err, geminihook.ErrSignature)
		})
	}
}
