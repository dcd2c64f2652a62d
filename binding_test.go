package geminihook_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	bindingSecret    = "whsec_YmluZGluZy1zZWNyZXQtMDAwMDAwMDAwMDAx"
	oldBindingSecret = "whsec_YmluZGluZy1zZWNyZXQtMDAwMDAwMDAwMDAw"
)

func newBinding(t testing.TB, secrets ...string) *geminihook.Binding {
	t.Helper()
	b, err := geminihook.NewBinding(secrets...)
	require.NoError(t, err)
	return b
}

func TestBindingToken(t *testing.T) {
	b := newBinding(t, bindingSecret)
	for _, label := range []string{"", "order-1042", "a.b.c", "čaj \x00\xff\n", strings.Repeat("x", 1000)} {
		token, err := b.Token(label)
		require.NoError(t, err)
		assert.Regexp(t, regexp.MustCompile(`^[A-Za-z0-9._-]+$`), token)
		got, ok := b.Check(token)
		assert.True(t, ok)
		assert.Equal(t, label, got)
	}
	token, err := b.Token("order-1042")
	require.NoError(t, err)
	other, err := b.Token("order-1043")
	require.NoError(t, err)
	label, mac, _ := strings.Cut(token, ".")
	otherLabel, _, _ := strings.Cut(other, ".")
	for _, bad := range []string{
		"", ".", label, label + ".", "." + mac, otherLabel + "." + mac, token + "x", token[:len(token)-1], "x" + token, token + "." + mac, "*." + mac, label + ".*",
	} {
		_, ok := b.Check(bad)
		assert.False(t, ok, bad)
	}
	_, err = (&geminihook.Binding{}).Metadata("x")
	require.ErrorContains(t, err, "no secret")
	_, ok := (&geminihook.Binding{Secrets: make([]geminihook.Secret, 1)}).Check(token)
	assert.False(t, ok)
	_, err = geminihook.NewBinding()
	require.Error(t, err)
}

// TestBindingRotation: the new secret in front makes tokens, the old one is
// accepted until it is no longer listed.
func TestBindingRotation(t *testing.T) {
	token, err := newBinding(t, oldBindingSecret).Token("job")
	require.NoError(t, err)
	_, ok := newBinding(t, bindingSecret, oldBindingSecret).Check(token)
	assert.True(t, ok)
	_, ok = newBinding(t, bindingSecret).Check(token)
	assert.False(t, ok)
	fresh, err := newBinding(t, bindingSecret, oldBindingSecret).Token("job")
	require.NoError(t, err)
	_, ok = newBinding(t, bindingSecret).Check(fresh)
	assert.True(t, ok)
}

// TestSomebodyElsesJob: genuine, from Google, and refused before any claim.
func TestSomebodyElsesJob(t *testing.T) {
	b := newBinding(t, bindingSecret)
	mine, err := b.Metadata("order-1042")
	require.NoError(t, err)
	mine["own"] = "kept"
	theirs, err := newBinding(t, oldBindingSecret).Metadata("order-1042")
	require.NoError(t, err)
	inData := `{"type":"video.generated","data":{"id":"v","user_metadata":{"geminihook_binding":"` + mine[geminihook.BindingKey].(string) + `"}}}`
	key := webhooktest.Dynamic(webhooktest.Key(1))
	body := func(m map[string]any) []byte { return webhooktest.BodyWith(geminihook.EventVideoGenerated, m) }
	for _, tt := range []struct {
		name     string
		delivery *webhooktest.Delivery
		static   bool
		status   int
		log      string
	}{
		{name: "ours", delivery: webhooktest.NewBody(body(mine), key), status: 200},
		{name: "ours, in data", delivery: webhooktest.NewBody([]byte(inData), key), status: 200},
		{name: "without a token", delivery: webhooktest.NewBody(body(nil), key), status: 403, log: "somebody else's job"},
		{name: "another program's token", delivery: webhooktest.NewBody(body(theirs), key), status: 403, log: "of another program"},
		{name: "token of another type", delivery: webhooktest.NewBody(body(map[string]any{geminihook.BindingKey: 7}), key), status: 403},
		{name: "static, without", delivery: webhooktest.NewBody(body(nil), signer), status: 200},
		{name: "static, without, where it is asked for", static: true, delivery: webhooktest.NewBody(body(nil), signer), status: 403},
		{name: "static, with", static: true, delivery: webhooktest.NewBody(body(mine), signer), status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := &keySource{}
			source.serveKeys(0, 1, 2)
			store := &countingStore{Store: &geminihook.MemoryStore{}}
			b := &geminihook.Binding{Secrets: b.Secrets, Static: tt.static}
			rc := newReceiver(t, &geminihook.Endpoint{
				Verifier:  geminihook.AnyOf(newVerifier(t), &geminihook.KeySet{Client: &http.Client{Transport: source}}),
				Authorize: b.Authorize, Store: store,
			}, nil)
			assert.Equal(t, tt.status, rc.send(t, tt.delivery).status)
			if tt.status == 403 {
				assert.Zero(t, store.calls.Load(), "no claim is made")
				assert.Zero(t, rc.runCount(tt.delivery.ID()))
				rc.outcome()
				assert.Contains(t, rc.log(), tt.log)
			}
		})
	}
}
