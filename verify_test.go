package geminihook_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
	"unsafe"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parseAll parses the secrets of a vector.
func parseAll(t *testing.T, texts []string) []geminihook.Secret {
	t.Helper()
	secrets := make([]geminihook.Secret, len(texts))
	for i, text := range texts {
		var err error
		secrets[i], err = geminihook.ParseSecret(text)
		require.NoError(t, err)
	}
	return secrets
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			now := func() time.Time { return time.Unix(v.Now, 0) }
			secrets, keys := parseAll(t, v.Secrets), v.publicKeys(t)
			var verifiers []geminihook.Verifier
			if len(secrets) > 0 {
				verifiers = append(verifiers, &geminihook.HMAC{Secrets: secrets, Now: now})
			}
			if len(keys) > 0 {
				verifiers = append(verifiers, &geminihook.Ed25519{Keys: keys, Now: now})
			}
			either := geminihook.AnyOf(verifiers...)
			proof, err := either.Verify(t.Context(), v.header(), []byte(v.Body))
			if !v.Valid {
				require.ErrorIs(t, err, v.kind())
				assert.Zero(t, proof)
				return
			}
			require.NoError(t, err)
			if proof.Scheme == geminihook.SchemeHMAC {
				assert.Equal(t, secrets[v.Key].Name(), proof.KeyName)
				return
			}
			only := &geminihook.Ed25519{Now: now, Keys: keys[v.Key : v.Key+1]}
			alone, err := only.Verify(t.Context(), v.header(), []byte(v.Body))
			require.NoError(t, err)
			assert.Equal(t, alone, proof, "the key that matched is named")
		})
	}
}

func TestAnyOf(t *testing.T) {
	d := webhooktest.New(geminihook.EventBatchFailed, signer)
	other := &geminihook.Ed25519{Keys: publicKeys(1)}
	refusing := fixedVerifier{err: fmt.Errorf("unknown tenant: %w", geminihook.ErrSignature)}
	failing := fixedVerifier{err: errors.New("the database is down")}
	for _, tt := range []struct {
		name   string
		any    geminihook.Verifier
		status int
	}{
		{"first", geminihook.AnyOf(newVerifier(t), other), 200},
		{"last", geminihook.AnyOf(other, newVerifier(t)), 200},
		{"after a nil one", geminihook.AnyOf(nil, newVerifier(t)), 200},
		{"after one without secrets", geminihook.AnyOf(&geminihook.HMAC{}, newVerifier(t)), 200},
		{"after one that failed", geminihook.AnyOf(failing, newVerifier(t)), 200},
		{"nested", geminihook.AnyOf(geminihook.AnyOf(), geminihook.AnyOf(newVerifier(t))), 200},
		{"all refuse", geminihook.AnyOf(other, refusing), 400},
		{"all refuse, one with ErrTimestamp", geminihook.AnyOf(other, fixedVerifier{err: geminihook.ErrTimestamp}), 400},
		{"all refuse, one with ErrHeader", geminihook.AnyOf(other, fixedVerifier{err: geminihook.ErrHeader}), 400},
		{"one failed", geminihook.AnyOf(other, failing), 503},
		{"one failed, another refuses afterward", geminihook.AnyOf(failing, refusing), 503},
		{"one failed, nested", geminihook.AnyOf(other, geminihook.AnyOf(failing)), 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.any.Verify(t.Context(), d.Header, d.Body)
			assert.Equal(t, tt.status, geminihook.StatusCode(err), "%v", err)
		})
	}
	t.Run("clones its list", func(t *testing.T) {
		list := []geminihook.Verifier{newVerifier(t)}
		v := geminihook.AnyOf(list...)
		list[0] = failing
		_, err := v.Verify(t.Context(), d.Header, d.Body)
		require.NoError(t, err)
	})
	t.Run("wraps all errors", func(t *testing.T) {
		_, err := geminihook.AnyOf(refusing, failing).Verify(t.Context(), d.Header, d.Body)
		require.ErrorIs(t, err, geminihook.ErrUnavailable)
		require.ErrorIs(t, err, geminihook.ErrSignature)
		require.ErrorIs(t, err, failing.err)
	})
	t.Run("names the key of the one that accepts", func(t *testing.T) {
		proof, err := geminihook.AnyOf(other, newVerifier(t)).Verify(t.Context(), d.Header, d.Body)
		require.NoError(t, err)
		assert.Equal(t, geminihook.Proof{Scheme: "v1", KeyName: "whsec_...MDAx"}, proof)
	})
}

// TestPermanentVerifier: whatever a verifier's error wraps, the delivery is not
// acknowledged.
func TestPermanentVerifier(t *testing.T) {
	down := errors.New("the database is down")
	for _, tt := range []struct {
		name string
		err  error
	}{
		{"Permanent", geminihook.Permanent(down)},
		{"wrapped", fmt.Errorf("tenant 7: %w", geminihook.Permanent(down))},
		{"refusal", geminihook.Permanent(geminihook.ErrSignature)},
		{"joined with a refusal", errors.Join(geminihook.ErrHeader, geminihook.Permanent(down))},
		{"unavailable", geminihook.Permanent(geminihook.ErrUnavailable)},
		{"ErrPermanent itself", geminihook.ErrPermanent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := geminihook.AnyOf(newVerifier(t), fixedVerifier{err: tt.err})
			_, err := v.Verify(t.Context(), newBatch().Tampered().Header, []byte("{}"))
			assert.Equal(t, 503, geminihook.StatusCode(err))
			assert.NotErrorIs(t, err, geminihook.ErrPermanent)
			assert.ErrorContains(t, err, tt.err.Error())
		})
	}
}

// TestNotConfigured: a verifier without a secret or key has failed, so that a
// genuine delivery is sent again. The headers are checked first.
func TestNotConfigured(t *testing.T) {
	var (
		nilHMAC    *geminihook.HMAC
		nilEd25519 *geminihook.Ed25519
		nilKeySet  *geminihook.KeySet
	)
	noKeys := []ed25519.PublicKey{nil, make(ed25519.PublicKey, 31), make(ed25519.PublicKey, 32)}
	for _, tt := range []struct {
		name     string
		verifier geminihook.Verifier
		reason   string
	}{
		{"HMAC", &geminihook.HMAC{}, noSecret},
		{"nil HMAC", nilHMAC, noSecret},
		{"HMAC with zero secrets", &geminihook.HMAC{Secrets: make([]geminihook.Secret, 2)}, noSecret},
		{"Ed25519", &geminihook.Ed25519{}, noPublicKey},
		{"nil Ed25519", nilEd25519, noPublicKey},
		{"Ed25519 with unusable keys", &geminihook.Ed25519{Keys: noKeys}, noPublicKey},
		{"nil KeySet", nilKeySet, noPublicKey},
		{"AnyOf", geminihook.AnyOf(), noVerifier},
		{"AnyOf with nil", geminihook.AnyOf(nil, nil), noVerifier},
		{"AnyOf with nil pointers", geminihook.AnyOf(nilHMAC, nilHMAC), noSecret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			static, dynamic := newBatch(), newDynamic(1, time.Now())
			for _, d := range []*webhooktest.Delivery{static, dynamic} {
				_, err := tt.verifier.Verify(t.Context(), d.Header, d.Body)
				requireVerdict(t, err, geminihook.ErrUnavailable, tt.reason)
			}
			_, err := tt.verifier.Verify(t.Context(), http.Header{}, nil)
			requireVerdict(t, err, geminihook.ErrHeader, counted("webhook-id", 0))
		})
	}
	t.Run("beside one that refuses", func(t *testing.T) {
		v := geminihook.AnyOf(newVerifier(t), nilKeySet)
		_, err := v.Verify(t.Context(), newBatch().Tampered().Header, []byte("{}"))
		require.ErrorIs(t, err, geminihook.ErrUnavailable)
	})
	t.Run("a zero secret beside a good one", func(t *testing.T) {
		v := newVerifier(t)
		v.Secrets = append(make([]geminihook.Secret, 1), v.Secrets...)
		d := newBatch()
		_, err := v.Verify(t.Context(), d.Header, d.Body)
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), d.Header, append(d.Body, ' '))
		require.ErrorIs(t, err, geminihook.ErrSignature)
	})
}

// TestUnusableKeys: what is no key must neither panic nor verify anything.
func TestUnusableKeys(t *testing.T) {
	// Under the all-zero key, a point of small order, this signature of R = A
	// and S = 0 holds for one message in four.
	zero := make(ed25519.PublicKey, ed25519.PublicKeySize)
	forged := base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
	v := &geminihook.Ed25519{Keys: append(publicKeys(1), nil, zero[1:], append(zero, 0), zero)}
	for range 64 {
		d := newBatch()
		d.Header.Set("webhook-signature", "v1a,"+forged)
		_, err := v.Verify(t.Context(), d.Header, d.Body)
		requireVerdict(t, err, geminihook.ErrSignature, publicKeyMismatch)
	}
}

// TestNothingIsBorrowed: some servers reuse the memory of a request, so neither a
// proof nor an error may point into it.
func TestNothingIsBorrowed(t *testing.T) {
	hmac, keys := newVerifier(t), &geminihook.Ed25519{Keys: publicKeys(1)}
	set := newKeySet(1)
	v := geminihook.AnyOf(hmac, keys, set)
	repeated := newBatch()
	repeated.Header["Webhook-Id"] = []string{"msg_1", "msg_2"}
	malformed := newBatch()
	malformed.Header["Webhook-Timestamp"] = []string{"+1779364800"}
	for _, tt := range []struct {
		name     string
		verifier geminihook.Verifier
		delivery *webhooktest.Delivery
	}{
		{"static", v, newBatch()},
		{"dynamic", v, newDynamic(1, time.Now())},
		{"dynamic at a KeySet", set, newDynamic(1, time.Now())},
		{"forged", v, newBatch().Tampered()},
		{"forged, dynamic", v, newDynamic(2, time.Now())},
		{"stale", v, newBatch().Stale()},
		{"repeated", v, repeated},
		{"malformed", v, malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header, body := http.Header{}, bytes.Clone(tt.delivery.Body)
			lent := [][]byte{body}
			for name, values := range tt.delivery.Header {
				for _, value := range values {
					memory := []byte(value)
					lent = append(lent, memory)
					borrowed := unsafe.String(unsafe.SliceData(memory), len(memory))
					header[name] = append(header[name], borrowed)
				}
			}
			proof, err := tt.verifier.Verify(t.Context(), header, body)
			before := fmt.Sprint(proof, err)
			for _, memory := range lent {
				for i := range memory {
					memory[i] = '#'
				}
			}
			assert.Equal(t, before, fmt.Sprint(proof, err))
			assert.NotContains(t, before, "##")
		})
	}
}

// TestVerifyAllocatesNothing: verification allocates nothing, even if the second of two
// secrets matches, and whatever the body's size, so the body is copied nowhere.
func TestVerifyAllocatesNothing(t *testing.T) {
	other, err := geminihook.ParseSecret(webhooktest.RandomSecret())
	require.NoError(t, err)
	v := newVerifier(t)
	v.Secrets = append([]geminihook.Secret{other}, v.Secrets...)
	small := webhooktest.NewBody(make([]byte, 300), signer)
	large := webhooktest.NewBody(make([]byte, 256<<10), signer)
	for _, tt := range []struct {
		name   string
		header http.Header
		body   []byte
	}{
		{"300 bytes", small.Header, small.Body},
		{"256 KiB", large.Header, large.Body},
		{"headers in lower case", lowerCase(small.Header), small.Body},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			allocs := leastAllocs(100, func() {
				if _, err := v.Verify(ctx, tt.header, tt.body); err != nil {
					t.Error(err)
				}
			})
			assert.Zero(t, allocs)
		})
	}
	t.Run("only the error of a forgery", func(t *testing.T) {
		d := webhooktest.New(geminihook.EventBatchFailed, signer).Tampered()
		v, ctx := newVerifier(t), context.Background()
		allocs := leastAllocs(100, func() { _, _ = v.Verify(ctx, d.Header, d.Body) })
		assert.LessOrEqual(t, allocs, 1.0)
	})
}
