package geminihook_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSecretRefuses(t *testing.T) {
	const (
		good     = "whsec_inTLBHcWyD05VpWQRkht3dXNy0A9UyG0uUKIvb7S3EM="
		text     = "inTLBHcWyD05VpWQRkht3dXNy0A9UyG0uUKIvb7S3EM="
		prefix   = "has another prefix than"
		variable = "has the name of a variable before it"
		fake     = "is a placeholder"
		repeated = "is a repeated pattern"
		hexa     = "is hexadecimal"
		base     = "is not base64"
		key      = "is an Ed25519 key"
		twice    = "is encoded in base64 twice"
		cut      = "is the truncated form"
		quotes   = "is quoted"
	)
	encoded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct{ name, secret, want string }{
		{"nothing", "", "is empty"},
		{"white space", "  \n", "is empty"},
		{"only the prefix", "whsec_", "is empty"},
		{"23 bytes", "whsec_" + encoded(text[:23]), "is too short: 23 bytes, at least 24 are needed"},
		{"zeros", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "is all zeros"},
		{"one byte", "whsec_" + encoded(strings.Repeat("a", 24)), repeated},
		{"one byte, 0xff", "/////////////////////////////////////////////w==", repeated},
		{"eight bytes thrice", encoded(strings.Repeat(text[:8], 3)), repeated},
		{"the last one cut", encoded(strings.Repeat(text[:10], 4)[:33]), repeated},
		{"one character", "whsec_" + strings.Repeat("x", 40), repeated},
		{"five characters", strings.Repeat("Se9et", 8), repeated},
		{"the other alphabet mixed in", "inTLBHcWyD05VpWQRkht3dXNy0A9UyG0uUKI+b7S3-M=", base},
		{"only padding", "whsec_====", base},
		{"padding missing", "whsec_" + encoded(text[:25])[:35], base},
		{"padding where none belongs", "whsec_" + text[:32] + "=", base},
		{"too much padding", good + "=", base},
		{"one character missing", "whsec_" + text[1:], base},
		{"a length that base64 never has", "whsec_" + text[:33], base},
		{"another character", "whsec_" + text[:20] + "!" + text[21:], base},
		{"hsec_", "hsec_" + text, prefix},
		{"sec_", "sec_" + text, prefix},
		{"whsec", "whsec" + text, prefix},
		{"whsec-", "whsec-" + text, prefix},
		{"whsecret_", "whsecret_" + text, prefix},
		{"WHSEC_", "WHSEC_" + text, prefix},
		{"svix_", "svix_" + text, prefix},
		{"secret_", "secret_" + text, prefix},
		{"after a hyphen", "prod-" + good, `has something before "whsec_"`},
		{"twice the prefix", "whsec_" + good, `has the prefix "whsec_" twice`},
		{"encoded twice", encoded(good), twice},
		{"encoded twice, and prefixed", "whsec_" + encoded(good+"\n"), twice},
		{"a file encoded", encoded("S=" + good), twice},
		{"a public key", "whpk_" + text, key},
		{"a private key", "whsk_" + text, key},
		{"your_", "your_gemini_webhook_secret", fake},
		{"your_, prefixed", "whsec_your_gemini_webhook_secret", fake},
		{"Your_", "Your_Gemini_Webhook_Secret", fake},
		{"placeholder", "placeholderForTheSigningSecretOfGemini", fake},
		{"Your-", "Your-Gemini-Webhook-Secret-Goes-Here", fake},
		{"YOUR_", "YOUR_SECRET", fake},
		{"REPLACE", "REPLACE_WITH_YOUR_SECRET_FROM_GOOGLE", fake},
		{"replaceme", "whsec_replaceMeWithTheRealSecretPlease", fake},
		{"changeme", "changeme", fake},
		{"changeme, and digits", "whsec_changeme12345678901234567890123456", fake},
		{"words", "insert-the-signing-secret-of-gemini-here", fake},
		{"words in capitals with a digit", "MY_WEBHOOK_SIGNING_SECRET_9_GOES_HERE", fake},
		{"words between hyphens", "--gemini-webhook-signing-secret-here--", fake},
		{"angle brackets", "<paste the secret>", "has a comma or white space in it"},
		{"angle brackets without spaces", "<secret>", fake},
		{"a variable", "${GEMINI_WEBHOOK_SECRET}", fake},
		{"a Google API key", "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "is a Google API key"},
		{"a UUID", "123e4567-e89b-12d3-a456-426614174000", "is a UUID"},
		{"a UUID in capitals, prefixed", "whsec_123E4567-E89B-12D3-A456-426614174000", "is a UUID"},
		{"hexadecimal", "8c46a1d9d5f01fbd8c9fa39dd6d0c4c8", hexa},
		{"hexadecimal, 32 bytes, prefixed", "whsec_" + hex.EncodeToString([]byte(text[:32])), hexa},
		{"hexadecimal in capitals", "8C46A1D9D5F01FBD8C9FA39DD6D0C4C8", hexa},
		{"hexadecimal with 0x", "0x8c46a1d9d5f01fbd8c9fa39dd6d0c4c812", hexa},
		{"of a signature", "v1," + good, `starts with "v1,"`},
		{"quotation marks", `"` + good + `"`, quotes},
		{"single ones", "'" + good + "'", quotes},
		{"one of them lost", good + `"`, quotes},
		{"inside", `whsec_"` + text + `"`, quotes},
		{"a variable's name", "GEMINI_WEBHOOK_SECRET=" + good, variable},
		{"export", "export NAME=" + good, variable},
		{"a variable's name and quotation marks", `NAME="` + good + `"`, variable},
		{"a variable's name, no prefix", "NAME=" + text, variable},
		{"truncated", "whsec_...3frh", cut},
		{"truncated, with an ellipsis", "whsec_…3frh", cut},
		{"a list", good + "," + good, "has a comma or white space in it"},
		{"two lines", good + "\n" + good, "has a comma or white space in it"},
		{"a line break", "whsec_" + text[:20] + "\n" + text[20:], "has a comma or white space in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secret, err := geminihook.ParseSecret(tt.secret)
			require.ErrorContains(t, err, "geminihook: secret "+tt.want)
			assert.Equal(t, geminihook.Secret{}, secret)
			if len(tt.secret) > 14 {
				assert.NotContains(t, err.Error(), tt.secret[8:], "the text is not shown")
			}
		})
	}
}

// TestParseSecretAcceptsNeighbors: each is close to something that is refused.
func TestParseSecretAcceptsNeighbors(t *testing.T) {
	for _, tt := range []struct{ name, secret string }{
		{"24 bytes", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		{"more than a third repeated", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("0123456789abc", 3)[:38]))},
		{"zeros and another byte", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAz"},
		{"words in base64", base64.StdEncoding.EncodeToString([]byte("your_gemini_webhook_secret_in_words"))},
		{"words of two cases", "some-Signing-secret-that-HAS-two-cas"},
		{"one g in hexadecimal", "8c46a1d9d5f01fbd8c9fa39dd6d0c4g8"},
		{"whsec in the middle", "whsec_inTLBHcWyD05VwhsechttdXNy0A9UyG0"},
		{"whsec after the prefix", "whsec_whsecBHcWyD05VpWQRkht3dXNy0A9UyG"},
		{"sec_ after the prefix", "whsec_sec_BHcWyD05VpWQRkht3dXNy0A9UyGA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := geminihook.ParseSecret(tt.secret)
			require.NoError(t, err)
		})
	}
}

// randomText returns a random key of 24 to 64 bytes in one of the four forms of
// base64.
func randomText(random *rand.ChaCha8) string {
	key := make([]byte, 24+random.Uint64()%41)
	_, _ = random.Read(key) // never fails
	encodings := []*base64.Encoding{
		base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
	}
	return encodings[random.Uint64()%4].EncodeToString(key)
}

// TestParseSecretRandomKeys: no rule refuses a random key. The environment variable
// GEMINIHOOK_RANDOM_KEYS sets how many are tried.
func TestParseSecretRandomKeys(t *testing.T) {
	keys := 100_000
	if text := os.Getenv("GEMINIHOOK_RANDOM_KEYS"); text != "" {
		var err error
		keys, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	random := rand.NewChaCha8([32]byte{24})
	var refused []string
	for range keys {
		text := randomText(random)
		if random.Uint64()%2 == 0 {
			text = "whsec_" + text
		}
		if _, err := geminihook.ParseSecret(text); err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", text, err))
		}
	}
	assert.LessOrEqual(t, len(refused), 1, refused)
}

// TestParseSecretOtherPrefixes: without the check, most of them would be another
// secret of the same name.
func TestParseSecretOtherPrefixes(t *testing.T) {
	random := rand.NewChaCha8([32]byte{25})
	for _, prefix := range []string{
		"hsec_", "wsec_", "whec_", "whsc_", "whse_", "whsec", "sec_",
		"whsecret_", "secret_", "signing_", "webhook_", "svix_", "Whsec_", "WHSEC_", "WHSEC",
	} {
		t.Run(prefix, func(t *testing.T) {
			for range 2_000 {
				// "whsec" and a key that begins with "_" make "whsec_".
				text := prefix + strings.TrimLeft(randomText(random), "_")
				_, err := geminihook.ParseSecret(text)
				require.ErrorContains(t, err, "has another prefix", text)
			}
		})
	}
	// Cut further, a secret as Google shows it has a length that base64 never has.
	for _, prefix := range []string{"ec_", "c_", "_"} {
		t.Run(prefix, func(t *testing.T) {
			for range 2_000 {
				key := strings.TrimPrefix(webhooktest.RandomSecret(), "whsec_")
				_, err := geminihook.ParseSecret(prefix + key)
				require.ErrorContains(t, err, "is not base64")
			}
		})
	}
}
