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

// The reasons for which Binding.Authorize refuses an event.
const (
	notOurToken = "the geminihook_binding in the event's user_metadata was made " +
		"by another program or with a secret that is not in Binding.Secrets, " +
		"or is older than Binding.MaxAge"
	noToken = "the event's user_metadata has no geminihook_binding: it is somebody else's job, " +
		"or one that was created without Binding.Metadata"
	noBindingSecret = "geminihook: Binding has no secret to make a token with"
)

func TestBindingToken(t *testing.T) {
	b := newBinding(t, bindingSecret)
	for name, label := range map[string]string{
		"empty": "", "plain": "order-1042", "with dots": "a.b.c", "not UTF-8": "čaj \x00\xff\n",
		"long": strings.Repeat("x", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			token, err := b.Token(label)
			require.NoError(t, err)
			assert.Regexp(t, regexp.MustCompile(`^[A-Za-z0-9._-]+$`), token)
			got, ok := b.Check(token)
			assert.True(t, ok)
			assert.Equal(t, label, got)
		})
	}
}

func TestBindingChecks(t *testing.T) {
	b := newBinding(t, bindingSecret)
	token, err := b.Token("order-1042")
	require.NoError(t, err)
	other, err := b.Token("order-1043")
	require.NoError(t, err)
	label, rest, _ := strings.Cut(token, ".")
	otherLabel, _, _ := strings.Cut(other, ".")
	for name, bad := range map[string]string{
		"empty": "", "dot": ".", "label": label, "label and dot": label + ".",
		"no label": "." + rest, "another label": otherLabel + "." + rest,
		"longer": token + "x", "shorter": token[:len(token)-1], "more in front": "x" + token,
		"more behind": token + "." + rest, "label not base64": "*." + rest,
		"time not a number": label + ".*", "no MAC": label + ".1779364800.",
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := b.Check(bad)
			assert.False(t, ok)
			assert.Empty(t, got)
		})
	}
}

// TestBindingWithoutSecret: a Binding without a secret makes no token and accepts none.
func TestBindingWithoutSecret(t *testing.T) {
	token, err := newBinding(t, bindingSecret).Token("job")
	require.NoError(t, err)
	ev := &geminihook.Event{
		UserMetadata: map[string]any{geminihook.BindingKey: token},
		Proof:        geminihook.Proof{Scheme: "v1a"},
	}
	static := &geminihook.Event{Proof: geminihook.Proof{Scheme: "v1"}}
	for name, b := range map[string]*geminihook.Binding{
		"nil": nil, "zero": {}, "zero secret": {Secrets: make([]geminihook.Secret, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Token("job")
			require.EqualError(t, err, noBindingSecret)
			_, err = b.Metadata("job")
			require.EqualError(t, err, noBindingSecret)
			_, ok := b.Check(token)
			assert.False(t, ok)
			_, ok = b.Label(ev)
			assert.False(t, ok)
			requireVerdict(t, b.Authorize(t.Context(), ev), geminihook.ErrForbidden, notOurToken)
			require.NoError(t, b.Authorize(t.Context(), static), "a static event needs no token")
		})
	}
	_, err = geminihook.NewBinding()
	require.ErrorContains(t, err, "at least one is needed")
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
	required := &geminihook.Binding{Secrets: b.Secrets, RequireStatic: true}
	mine, err := b.Metadata("order-1042")
	require.NoError(t, err)
	mine["own"] = "kept"
	theirs, err := newBinding(t, oldBindingSecret).Metadata("order-1042")
	require.NoError(t, err)
	number := map[string]any{geminihook.BindingKey: 7}
	dynamic, static := webhooktest.Dynamic(webhooktest.Key(1)), signer
	with := func(metadata map[string]any, signer webhooktest.Signer) *webhooktest.Delivery {
		body := webhooktest.BodyWith(geminihook.EventVideoGenerated, metadata)
		return webhooktest.NewBody(body, signer)
	}
	token := mine[geminihook.BindingKey].(string)
	inData := webhooktest.NewBody([]byte(`{"type":"video.generated","data":{"id":"v",`+
		`"user_metadata":{"geminihook_binding":"`+token+`"}}}`), dynamic)
	for _, tt := range []struct {
		name     string
		binding  *geminihook.Binding
		delivery *webhooktest.Delivery
		reason   string // empty if it is accepted
	}{
		{"ours", b, with(mine, dynamic), ""},
		{"ours, in data", b, inData, ""},
		{"without a token", b, with(nil, dynamic), noToken},
		{"another program's token", b, with(theirs, dynamic), notOurToken},
		{"token of another type", b, with(number, dynamic), notOurToken},
		{"static, without", b, with(nil, static), ""},
		{"static, without, although required", required, with(nil, static), noToken},
		{"static, another program's", required, with(theirs, static), notOurToken},
		{"static, with", required, with(mine, static), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &hookedStore{}
			rc := newReceiver(t, &geminihook.Endpoint{
				Verifier:  geminihook.AnyOf(newVerifier(t), newKeySet(0, 1, 2)),
				Authorize: tt.binding.Authorize, Store: store,
			}, succeed)
			got := rc.send(t, tt.delivery)
			out := rc.next()
			if tt.reason == "" {
				assert.Equal(t, 200, got.status)
				assert.Equal(t, 1, rc.of(tt.delivery.ID()))
				return
			}
			assert.Equal(t, 403, got.status)
			assert.Equal(t, geminihook.Forbidden, out.Result)
			requireVerdict(t, out.Err, geminihook.ErrForbidden, tt.reason)
			assert.Zero(t, store.calls.Load(), "no claim is made")
			assert.Zero(t, rc.of(tt.delivery.ID()))
		})
	}
}

// TestBindingMutations: no token but the one that was made is accepted, not even
// with characters that base64 decoders skip.
func TestBindingMutations(t *testing.T) {
	b := newBinding(t, bindingSecret)
	b.Now = func() time.Time { return at }
	token, err := b.Token("order-1042")
	require.NoError(t, err)
	_, ok := b.Check(token)
	require.True(t, ok)
	refuse := func(kind string, i int, changed string) {
		if _, ok := b.Check(changed); ok && changed != token {
			t.Errorf("%s at %d: %q is accepted for %q", kind, i, changed, token)
		}
	}
	for i := range len(token) + 1 {
		before, after := token[:i], token[i:]
		for c := range 256 {
			char := string([]byte{byte(c)})
			refuse("insertion", i, before+char+after)
			if after != "" {
				refuse("change", i, before+char+after[1:])
			}
		}
		if after != "" {
			refuse("deletion", i, before+after[1:])
		}
		refuse("CRLF", i, before+"\r\n"+after)
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
			ev := &geminihook.Event{UserMetadata: metadata, Proof: geminihook.Proof{Scheme: "v1a"}}
			err = b.Authorize(t.Context(), ev)
			if tt.want {
				require.NoError(t, err)
				return
			}
			requireVerdict(t, err, geminihook.ErrForbidden, notOurToken)
		})
	}
}

// TestTokenIsNotShown: printing, logging or encoding an event shows no token, not even
// if the encoding fails.
func TestTokenIsNotShown(t *testing.T) {
	token, err := newBinding(t, bindingSecret).Token("order-1042")
	require.NoError(t, err)
	metadata := map[string]any{geminihook.BindingKey: token}
	body := webhooktest.BodyWith(geminihook.EventVideoGenerated, metadata)
	ev, err := geminihook.ParseUnverified(body)
	require.NoError(t, err)
	ev.ID, ev.Attempt = "msg_1", 2
	require.Equal(t, token, ev.UserMetadata[geminihook.BindingKey])
	outcome := geminihook.Outcome{Event: ev, Body: body}

	for name, value := range map[string]any{
		"event": ev, "value": *ev, "list": []geminihook.Event{*ev}, "field": struct{ E any }{ev},
		"outcome": outcome, "pointer to outcome": &outcome,
	} {
		t.Run(name, func(t *testing.T) {
			var shown strings.Builder
			slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "value", value)
			slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "value", value)
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				fmt.Fprintf(&shown, verb, value)
			}
			encoded, err := json.Marshal(value)
			fmt.Fprintln(&shown, string(encoded), err)
			for _, form := range []string{"%s", "%x", "%X", "%d"} {
				printed := strings.Trim(fmt.Sprintf(form, []byte(token)), "[]")
				assert.NotContains(t, shown.String(), printed)
			}
		})
	}
}
