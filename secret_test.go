package geminihook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzParseSecret: no text makes a secret of an empty key, no error shows the text, and
// no name shows more than four characters of it.
func FuzzParseSecret(f *testing.F) {
	for _, s := range []string{
		"", "whsec_", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "whsec_...3frh", `"whsec_"`,
		webhooktest.TestSecret, "v1," + webhooktest.TestSecret, "sec_" + webhooktest.TestSecret[6:],
		"your_gemini_webhook_secret", "8c46a1d9d5f01fbd8c9fa39dd6d0c4c8",
	} {
		f.Add(s)
	}
	nothing, err := standardwebhooks.NewWebhookRaw(nil)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, s string) {
		secret, err := geminihook.ParseSecret(s)
		h := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}}
		d := webhooktest.NewBody([]byte("{}"), static{nothing})
		if _, err := h.Verify(context.Background(), d.Header, d.Body); err == nil {
			t.Fatal("an empty key verifies")
		}
		if err != nil {
			require.Equal(t, geminihook.Secret{}, secret)
			if rest := strings.TrimPrefix(s, "whsec_"); len(rest) > 30 {
				require.NotContains(t, err.Error(), rest)
			}
			return
		}
		require.LessOrEqual(t, len(secret.Name()), len("whsec_...")+4)
	})
}

// static signs with a reference signer.
type static struct{ w *standardwebhooks.Webhook }

func (s static) Sign(id string, at time.Time, body []byte) string {
	entry, err := s.w.Sign(id, at, body)
	if err != nil {
		panic(err)
	}
	return entry
}

func TestParseSecretAccepts(t *testing.T) {
	key := []byte("\xfb\xff\xfe 0123456789 ABCDEFG~~~") // all four spellings differ
	signer := webhooktest.Static("whsec_" + base64.StdEncoding.EncodeToString(key))
	d := webhooktest.New(geminihook.EventBatchFailed, signer)
	for name, s := range map[string]string{
		"as Google shows it": "whsec_" + base64.StdEncoding.EncodeToString(key),
		"without the prefix": base64.StdEncoding.EncodeToString(key),
		"without padding":    "whsec_" + base64.RawStdEncoding.EncodeToString(key),
		"URL alphabet":       "whsec_" + base64.URLEncoding.EncodeToString(key),
		"URL, no padding":    base64.RawURLEncoding.EncodeToString(key),
		"a newline after it": "whsec_" + base64.StdEncoding.EncodeToString(key) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			v, err := geminihook.NewHMAC(s)
			require.NoError(t, err)
			_, err = v.Verify(t.Context(), d.Header, d.Body)
			require.NoError(t, err)
		})
	}
	t.Run("raw", func(t *testing.T) {
		mine := bytes.Clone(key)
		secret, err := geminihook.NewSecret(mine)
		require.NoError(t, err)
		clear(mine) // the Secret has a copy
		v := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}}
		_, err = v.Verify(t.Context(), d.Header, d.Body)
		require.NoError(t, err)
	})
}

func TestNewSecretRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  []byte
		want string
	}{
		{"nil", nil, "geminihook: secret is too short: 0 bytes, at least 24 are needed"},
		{"23 bytes", bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 4)[:23], "geminihook: secret is too short: 23 bytes, at least 24 are needed"},
		{"zeros", make([]byte, 32), "geminihook: secret is all zeros"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secret, err := geminihook.NewSecret(tt.key)
			require.EqualError(t, err, tt.want)
			assert.Equal(t, geminihook.Secret{}, secret)
		})
	}
}

// TestNewSecretAccepts: a raw key may be anything, such as what ParseSecret refuses
// in a text.
func TestNewSecretAccepts(t *testing.T) {
	for _, key := range []string{
		"aaaaaaaaaaaaaaaaaaaaaaaa", "your_gemini_webhook_secret", webhooktest.TestSecret,
		"0123456789abcdef0123456789abcdef", "hsec_0123456789abcdefghij",
	} {
		_, err := geminihook.NewSecret([]byte(key))
		require.NoError(t, err, key)
	}
}

func TestParseSecrets(t *testing.T) {
	a, b, c := webhooktest.RandomSecret(), webhooktest.RandomSecret(), webhooktest.RandomSecret()
	for _, tt := range []struct {
		name, list string
		want       []string
	}{
		{"one", a, []string{a}},
		{"with commas", a + "," + b + "," + c, []string{a, b, c}},
		{"with commas and spaces", " " + a + ", " + b + " ,\t" + c + " ", []string{a, b, c}},
		{"in lines", a + "\n" + b + "\r\n" + c + "\n", []string{a, b, c}},
		{"a comma too many", a + ",," + b + ",", []string{a, b}},
		{"without prefix", strings.TrimPrefix(a, "whsec_") + " " + b, []string{a, b}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secrets, err := geminihook.ParseSecrets(tt.list)
			require.NoError(t, err)
			assert.Equal(t, tt.want, accepted(t, secrets, a, b, c))
			v, err := geminihook.NewHMAC(tt.list)
			require.NoError(t, err)
			assert.Equal(t, tt.want, accepted(t, v.Secrets, a, b, c))
		})
	}
}

// accepted returns the candidates in the order of the secrets that verify what they
// sign.
func accepted(t *testing.T, secrets []geminihook.Secret, candidates ...string) (texts []string) {
	t.Helper()
	for _, secret := range secrets {
		v := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}}
		for _, text := range candidates {
			d := webhooktest.NewBody([]byte("{}"), webhooktest.Static(text))
			if _, err := v.Verify(t.Context(), d.Header, d.Body); err == nil {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

func TestParseSecretsRefuses(t *testing.T) {
	const empty = "is empty: set it to the whsec_... that Google shows once, " +
		"when it creates a webhook or rotates its secret"
	good := webhooktest.RandomSecret()
	for _, tt := range []struct{ name, list, want string }{
		{"nothing", "", "geminihook: secret " + empty},
		{"separators", " ,\n\t", "geminihook: secret " + empty},
		{"a bad one", "whsec_c2hvcnQ=", "geminihook: secret is too short: 5 bytes, at least 24 are needed"},
		{"a bad one at the end", good + ",whsec_c2hvcnQ=", "geminihook: secret 2 of 2 is too short: 5 bytes, at least 24 are needed"},
		{"only the prefix", good + ",whsec_," + good, "geminihook: secret 2 of 3 " + empty},
		{"a quoted list", `"` + good + "," + good + `"`, "geminihook: secret 1 of 2 is quoted: remove the quotation marks"},
		{"of a signature", "v1," + good, `geminihook: secret 1 of 2 starts with "v1,", as signatures do: remove everything before "whsec_"`},
		{"a line of a script", "export S=" + good, `geminihook: secret 1 of 2 has the name of a variable before it: remove everything before "whsec_"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secrets, err := geminihook.ParseSecrets(tt.list)
			require.EqualError(t, err, tt.want)
			assert.Nil(t, secrets)
			v, err := geminihook.NewHMAC(tt.list)
			require.EqualError(t, err, tt.want)
			assert.Nil(t, v)
			b, err := geminihook.NewBinding(tt.list)
			require.EqualError(t, err, tt.want)
			assert.Nil(t, b)
		})
	}
}

func TestNewHMACRefuses(t *testing.T) {
	a, b := webhooktest.RandomSecret(), webhooktest.RandomSecret()
	for _, tt := range []struct {
		name      string
		arguments []string
		want      string
	}{
		{"no argument", nil, "geminihook: no secret given: at least one is needed"},
		{"an empty one", []string{a, ""}, "geminihook: argument 2 of 2: secret is empty"},
		{"an empty one before", []string{"", a}, "geminihook: argument 1 of 2: secret is empty"},
		{"a bad list", []string{a, b + ",whsec_..."}, "geminihook: argument 2 of 2: secret 2 of 2 is the truncated form"},
		{"a placeholder", []string{"your_gemini_webhook_secret"}, "geminihook: secret is a placeholder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := geminihook.NewHMAC(tt.arguments...)
			require.ErrorContains(t, err, tt.want)
			assert.Nil(t, v)
		})
	}
	v, err := geminihook.NewHMAC(a, b)
	require.NoError(t, err)
	assert.Equal(t, []string{a, b}, accepted(t, v.Secrets, a, b))
}

// TestNewHMACWarns: slog's default log has a warning about each secret that everybody
// can read.
func TestNewHMACWarns(t *testing.T) {
	const warning = "anyone can sign with this secret"
	for _, tt := range []struct {
		name    string
		secrets []string
		want    int // lines
	}{
		{"fresh", []string{webhooktest.RandomSecret()}, 0},
		{"of webhooktest", []string{webhooktest.TestSecret}, 1},
		{"of the package's examples", []string{"whsec_YSBzZWNyZXQgb2YgeW91ciBvd24sIGtlZXAgaXQ="}, 1},
		{"of the specification", []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, 1},
		{"a list of a fresh one and two others", []string{
			webhooktest.RandomSecret() + "," + webhooktest.TestSecret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slog.Default()
			var out bytes.Buffer
			slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
			t.Cleanup(func() {
				slog.SetDefault(before)
				log.SetOutput(os.Stderr) // which SetDefault has changed
				log.SetFlags(log.LstdFlags)
			})
			v, err := geminihook.NewHMAC(tt.secrets...)
			require.NoError(t, err)
			d := newBatch()
			for range 3 { // once, not per delivery
				_, _ = v.Verify(t.Context(), d.Header, d.Body)
			}
			assert.Equal(t, tt.want, strings.Count(out.String(), warning), out.String())
			assert.Equal(t, tt.want, strings.Count(out.String(), "level=WARN"))
			for _, secret := range tt.secrets {
				assert.NotContains(t, out.String(), secret[6:20])
			}
		})
	}
}
