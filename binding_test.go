package geminihook_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

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
		{name: "another program's token", delivery: webhooktest.NewBody(body(theirs), key), status: 403, log: "by another program"},
		{name: "token of another type", delivery: webhooktest.NewBody(body(map[string]any{geminihook.BindingKey: 7}), key), status: 403},
		{name: "static, without", delivery: webhooktest.NewBody(body(nil), signer), status: 200},
		{name: "static, without, although required", static: true, delivery: webhooktest.NewBody(body(nil), signer), status: 403},
		{name: "static, with", static: true, delivery: webhooktest.NewBody(body(mine), signer), status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &hookedStore{}
			b := &geminihook.Binding{Secrets: b.Secrets, RequireStatic: tt.static}
			rc := newReceiver(t, &geminihook.Endpoint{
				Verifier:  geminihook.AnyOf(newVerifier(t), newKeySet(0, 1, 2)),
				Authorize: b.Authorize, Store: store,
			}, succeed)
			assert.Equal(t, tt.status, rc.send(t, tt.delivery).status)
			if tt.status == 403 {
				assert.Zero(t, store.calls.Load(), "no claim is made")
				assert.Zero(t, rc.of(tt.delivery.ID()))
				rc.next()
				assert.Contains(t, rc.log(), tt.log)
			}
		})
	}
}

// TestBindingMutations: no token but the one that was made is accepted, not even
// with characters that base64 decoders skip.
func TestBindingMutations(t *testing.T) {
	b := newBinding(t, bindingSecret)
	b.Now = func() time.Time { return at }
	for _, label := range []string{"", "j", "order-1042"} {
		token, err := b.Token(label)
		require.NoError(t, err)
		_, ok := b.Check(token)
		require.True(t, ok)
		refuse := func(kind string, i int, changed string) {
			if _, ok := b.Check(changed); ok && changed != token {
				t.Errorf("%s at %d: %q is accepted for %q", kind, i, changed, token)
			}
		}
		for i := range len(token) + 1 {
			for c := range 256 {
				char := string([]byte{byte(c)})
				refuse("insertion", i, token[:i]+char+token[i:])
				if i < len(token) {
					refuse("change", i, token[:i]+char+token[i+1:])
				}
			}
			if i < len(token) {
				refuse("deletion", i, token[:i]+token[i+1:])
			}
			refuse("CRLF", i, token[:i]+"\r\n"+token[i:])
		}
	}
}

func TestBindingMaxAge(t *testing.T) {
	for _, tt := range []struct {
		name        string
		maxAge, age time.Duration
		want        bool
	}{
		{"zero, a hundred years", 0, 100 * 365 * 24 * time.Hour, true},
		{"fresh", time.Hour, 0, true},
		{"at the bound", time.Hour, time.Hour, true},
		{"past it", time.Hour, time.Hour + 1, false},
		{"long past it", time.Hour, 1000 * time.Hour, false},
		{"made by an instance whose clock is ahead", time.Hour, -time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := &testClock{now: at}
			b := newBinding(t, bindingSecret)
			b.MaxAge, b.Now = tt.maxAge, now.Now
			metadata, err := b.Metadata("job")
			require.NoError(t, err)
			now.advance(tt.age)
			label, ok := b.Check(metadata[geminihook.BindingKey].(string))
			assert.Equal(t, tt.want, ok)
			assert.Equal(t, tt.want, label == "job")
			err = b.Authorize(t.Context(), &geminihook.Event{UserMetadata: metadata, Proof: geminihook.Proof{Scheme: "v1a"}})
			if tt.want {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "older than Binding.MaxAge")
			assert.NotContains(t, err.Error(), metadata[geminihook.BindingKey])
		})
	}
}

func TestNilBinding(t *testing.T) {
	var b *geminihook.Binding
	token, err := newBinding(t, bindingSecret).Token("job")
	require.NoError(t, err)
	_, ok := b.Check(token)
	assert.False(t, ok)
	ev := &geminihook.Event{UserMetadata: map[string]any{geminihook.BindingKey: token}, Proof: geminihook.Proof{Scheme: "v1a"}}
	_, ok = b.Label(ev)
	assert.False(t, ok)
	require.Error(t, b.Authorize(t.Context(), ev))
	ev.Proof.Scheme = "v1"
	require.NoError(t, b.Authorize(t.Context(), ev), "a static event needs no token")
	_, err = b.Token("job")
	require.ErrorContains(t, err, "no secret")
	_, err = b.Metadata("job")
	require.ErrorContains(t, err, "no secret")
}

// TestTokenIsNotShown when an event is printed, logged or encoded.
func TestTokenIsNotShown(t *testing.T) {
	metadata, err := newBinding(t, bindingSecret).Metadata("order-1042")
	require.NoError(t, err)
	d := webhooktest.NewBody(webhooktest.BodyWith(geminihook.EventVideoGenerated, metadata), signer)
	ev, err := geminihook.ParseUnverified(d.Body)
	require.NoError(t, err)
	ev.ID, ev.Attempt = d.ID(), 2
	token := ev.UserMetadata[geminihook.BindingKey].(string)
	require.NotEmpty(t, token)

	encode := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return string(b)
	}
	assert.JSONEq(t, `{"id":"`+ev.ID+`","type":"video.generated","attempt":2}`, encode(ev))
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "event", ev, "value", *ev, "outcome", geminihook.Outcome{Event: ev})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "event", ev, "value", *ev, "list", []*geminihook.Event{ev})
	shown := map[string]string{
		"log": log.String(), "JSON": encode(ev), "JSON of the value": encode(*ev),
		"JSON of a struct": encode(struct{ Event *geminihook.Event }{ev}), "JSON of an outcome": encode(geminihook.Outcome{Event: ev}),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		shown[verb] = fmt.Sprintf(verb, ev) + fmt.Sprintf(verb, *ev) + fmt.Sprintf(verb, []geminihook.Event{*ev}) + fmt.Sprintf(verb, geminihook.Outcome{Event: ev})
	}
	for name, s := range shown {
		for _, form := range []string{"%s", "%x", "%X", "%d"} {
			assert.NotContains(t, s, strings.Trim(fmt.Sprintf(form, []byte(token)), "[]"), name)
		}
	}
}
