package geminihook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzParseSecret: no secret is made of nothing, no error and no name shows
// more than four characters of it, and what is accepted verifies.
func FuzzParseSecret(f *testing.F) {
	for _, s := range []string{
		"", "whsec_", "whsec_AAAAAAAAAAAAAAAAAAAAAAAA", webhooktest.Secret, "v1," + webhooktest.Secret, "whsec_...3frh", `"whsec_"`,
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
	key := []byte("\xfb\xff\xfe 0123456789 ABCDEFG~~~") // 26 bytes, so that all four spellings differ
	d := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Static("whsec_"+base64.StdEncoding.EncodeToString(key)))
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
		_, err = (&geminihook.HMAC{Secrets: []geminihook.Secret{secret}}).Verify(t.Context(), d.Header, d.Body)
		require.NoError(t, err)
	})
}

func TestParseSecretRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"":                                            "empty",
		"  \n":                                        "empty",
		"whsec_":                                      "empty",
		"whsec_AAAAAAAAAAAAAAAAAAAA":                  "too short: 15 bytes",
		"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA":      "all zeros",
		"whsec_====":                                  "not base64",
		"whsec_not base64 at all, is it":              "comma",
		"whsec_not base64 at all":                     "not base64",
		"whsec_Z2VtaW5paG9v\nay10ZXN0LXNlY3Jl":        "not base64",
		"whsec_Z2VtaW5paG9v+_Z2VtaW5paG9va3k":         "not base64",
		"v1," + webhooktest.Secret:                    `starts with "v1,"`,
		`"` + webhooktest.Secret + `"`:                "quoted",
		`'` + webhooktest.Secret + `'`:                "quoted",
		"whsec_...3frh":                               "truncated",
		"whsec_…3frh":                                 "truncated",
		"whsec_" + webhooktest.Secret:                 "twice",
		"whpk_" + webhooktest.Secret[6:]:              "Ed25519 key",
		"whsk_" + webhooktest.Secret[6:]:              "Ed25519 key",
		webhooktest.Secret + "," + webhooktest.Secret: "comma",
	} {
		t.Run(want, func(t *testing.T) {
			secret, err := geminihook.ParseSecret(s)
			require.ErrorContains(t, err, want, s)
			assert.Equal(t, geminihook.Secret{}, secret)
			if len(s) > 12 {
				assert.NotContains(t, err.Error(), s[8:], "the text is not shown")
			}
		})
	}
	for _, n := range []int{0, 1, 15} {
		_, err := geminihook.NewSecret(make([]byte, n))
		require.ErrorContains(t, err, "too short")
	}
	_, err := geminihook.NewSecret(make([]byte, 32))
	require.ErrorContains(t, err, "all zeros")
}

func TestNewHMACRefuses(t *testing.T) {
	_, err := geminihook.NewHMAC()
	require.ErrorContains(t, err, "no secret given")
	v, err := geminihook.NewHMAC(webhooktest.Secret, "")
	require.ErrorContains(t, err, "secret 2 of 2: geminihook: secret is empty")
	assert.Nil(t, v)
}

// TestSecretShowsItsName alone, whoever prints it, and whatever holds it.
func TestSecretShowsItsName(t *testing.T) {
	const name = "whsec_...MDAx"
	secret, err := geminihook.ParseSecret(webhooktest.Secret)
	require.NoError(t, err)
	v := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, v.Secrets), fmt.Sprintf(verb, &secret))
	}
	j, err := json.Marshal(map[string]any{"secret": secret})
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", secret, "all", v.Secrets)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "all", v.Secrets)
	shown = append(shown, string(j), log.String(), secret.String(), secret.Name(), fmt.Sprintf("%+v", v))
	key := webhooktest.Secret[len("whsec_"):]
	raw, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	for i, s := range shown {
		assert.Contains(t, s, name, "%d", i)
		for _, leak := range []string{key[:8], string(raw[11:19]), fmt.Sprintf("%x", raw[:8]), fmt.Sprint(raw[:8])[1:20]} {
			assert.NotContains(t, s, leak, "%d", i)
		}
	}
	assert.Empty(t, geminihook.Secret{}.String())
}
