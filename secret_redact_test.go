package geminihook_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSecretShowsItsName: a secret shows its name alone, whoever prints it, and
// whatever holds it.
func TestSecretShowsItsName(t *testing.T) {
	const name = "whsec_...MDAx"
	secret, err := geminihook.ParseSecret(webhooktest.TestSecret)
	require.NoError(t, err)
	v := &geminihook.HMAC{Secrets: []geminihook.Secret{secret}}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown = append(shown,
			fmt.Sprintf(verb, secret), fmt.Sprintf(verb, v.Secrets), fmt.Sprintf(verb, &secret))
	}
	j, err := json.Marshal(map[string]any{"secret": secret})
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", secret, "all", v.Secrets)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "all", v.Secrets)
	shown = append(shown, string(j), log.String(),
		secret.String(), secret.Name(), fmt.Sprintf("%+v", v))
	key := webhooktest.TestSecret[len("whsec_"):]
	raw, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	leaks := []string{
		key[:8], string(raw[11:19]), fmt.Sprintf("%x", raw[:8]), fmt.Sprint(raw[:8])[1:20],
	}
	for i, s := range shown {
		assert.Contains(t, s, name, "%d", i)
		for _, leak := range leaks {
			assert.NotContains(t, s, leak, "%d", i)
		}
	}
	assert.Empty(t, geminihook.Secret{}.String())
}

// dumped catches what a failed assertion prints.
type dumped struct{ strings.Builder }

func (d *dumped) Errorf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

// TestSecretInAnotherStruct: fmt and testing libraries print the unexported
// fields of other types by reflection, without asking Secret's methods.
func TestSecretInAnotherStruct(t *testing.T) {
	type config struct {
		secret  geminihook.Secret
		pointer *geminihook.Secret
		hmac    *geminihook.HMAC
		binding geminihook.Binding
		list    []geminihook.Secret
		byName  map[string]geminihook.Secret
	}
	key := make([]byte, 32) // that resembles nothing else
	for i := range key {
		key[i] = byte(0x80 | 73*i)
	}
	secret, err := geminihook.NewSecret(key)
	require.NoError(t, err)
	encoded := base64.StdEncoding.EncodeToString(key)
	d := webhooktest.NewBody([]byte("{}"), webhooktest.Static("whsec_"+encoded))
	newConfig := func(name string) config {
		list := []geminihook.Secret{secret}
		v := &geminihook.HMAC{Secrets: list}
		_, err := v.Verify(t.Context(), d.Header, d.Body) // so that its working memory is filled
		require.NoError(t, err)
		byName := map[string]geminihook.Secret{name: secret}
		return config{secret, &secret, v, geminihook.Binding{Secrets: list}, list, byName}
	}
	c := newConfig("a")
	shown := map[string]string{}
	for _, verb := range strings.Fields("%s %q %U %c %e %x %X %v %+v %#v %d %b %o %t") {
		shown[verb] = fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) + fmt.Sprintf(verb, []config{c})
	}
	var equal dumped
	require.False(t, assert.Equal(&equal, c, newConfig("b")))
	require.False(t, assert.Equal(&equal, &c, nil))
	require.False(t, assert.Equal(&equal, c.secret, geminihook.Secret{}))
	shown["assert.Equal"] = equal.String()

	for name, s := range shown {
		require.NotEmpty(t, s)
		assert.NotContains(t, s, encoded[:8], name)
		assert.NotContains(t, s, string(key[:4]), name)
		for _, form := range []struct{ verb, between string }{
			{"%02x", ""},
			{"%02X", ""},
			{"%02x", " "},
			{"%02X", " "},
			{"0x%02x", ", "},
			{"%d", " "},
			{"%b", " "},
			{"%o", " "},
			{"%U", " "},
			{"%c", " "},
			{"%c", ""},
			{"%q", " "},
			{"%%!e(uint8=%d)", " "},
			{"%%!s(uint8=%d)", " "},
			{"%%!t(uint8=%d)", " "},
		} {
			bytes := make([]string, len(key))
			for i, b := range key {
				bytes[i] = fmt.Sprintf(form.verb, rune(b))
			}
			for i := 0; i < len(key); i += 4 {
				part := strings.Join(bytes[i:i+4], form.between)
				assert.NotContains(t, s, part, "%s shows the key as %s", name, form.verb)
			}
		}
	}
}
