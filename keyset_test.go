package geminihook_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeySetVectors(t *testing.T) {
	for _, v := range vectors(t) {
		keys := v.publicKeys(t)
		if len(keys) == 0 {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.clock.now = time.Unix(v.Now, 0)
			ks.source.serve(string(webhooktest.JWKS(keys...)))
			proof, err := ks.keys.Verify(t.Context(), v.header(), []byte(v.Body))
			if !strings.Contains(v.Signature, "v1a,") {
				require.ErrorIs(t, err, geminihook.ErrSignature)
				return
			}
			if !v.Valid {
				require.ErrorIs(t, err, v.kind())
				return
			}
			require.NoError(t, err)
			fixed := &geminihook.Ed25519{Keys: keys[v.Key : v.Key+1], Now: ks.clock.Now}
			want, err := fixed.Verify(t.Context(), v.header(), []byte(v.Body))
			require.NoError(t, err)
			assert.Equal(t, want, proof)
		})
	}
}

func TestKeySetCaches(t *testing.T) {
	ks := newTestKeySet(t, 1, 2, 3)
	for _, key := range []int{1, 2, 3, 3, 1} {
		ks.requireAccepts(t, key)
	}
	assert.EqualValues(t, 1, ks.source.fetches.Load())
	proof, err := ks.verify(2)
	require.NoError(t, err)
	assert.Len(t, proof.KeyName, 43, "the thumbprint of a key without kid")
	_, err = ks.keys.Verify(t.Context(), newBatch().Sign(at, signer).Header, nil)
	requireVerdict(t, err, geminihook.ErrSignature, staticWebhook)
	assert.EqualValues(t, 1, ks.source.fetches.Load(), "a v1 delivery is no reason to fetch")
}

func TestKeySetFloodOfForgeries(t *testing.T) {
	ks := newTestKeySet(t, 1, 2, 3)
	ks.requireAccepts(t, 1)
	for minute := range 3 {
		for range 100 {
			ks.requireRefuses(t, 9, geminihook.ErrSignature)
			ks.clock.advance(100 * time.Millisecond)
		}
		ks.clock.advance(50 * time.Second)
		assert.LessOrEqual(t, ks.source.fetches.Load(), int64(minute+2))
	}
	ks.requireAccepts(t, 1)
}

func TestKeySetRotation(t *testing.T) {
	ks := newTestKeySet(t, 1)
	ks.requireAccepts(t, 1)
	ks.source.serveKeys(1, 2)
	ks.requireRefuses(t, 2, geminihook.ErrSignature) // too early to fetch again
	ks.clock.advance(time.Minute)
	ks.requireAccepts(t, 2)
	ks.source.serveKeys(2)
	ks.clock.advance(time.Minute)
	ks.requireRefuses(t, 9, geminihook.ErrSignature) // fetches
	ks.requireRefuses(t, 1, geminihook.ErrSignature)
	assert.EqualValues(t, 3, ks.source.fetches.Load())
}

func TestKeySetOutage(t *testing.T) {
	ks := newTestKeySet(t, 1)
	ks.source.fail()
	ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
	ks.source.serveKeys(1)
	ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
	assert.EqualValues(t, 1, ks.source.fetches.Load(), "too early for another fetch")
	ks.clock.advance(time.Minute)
	ks.requireAccepts(t, 1)

	ks.source.fail()
	for range 24 * 60 / 10 { // a delivery every ten minutes
		ks.requireAccepts(t, 1)
		ks.clock.advance(10 * time.Minute)
	}
	ks.requireAccepts(t, 1)
	ks.clock.advance(time.Second)
	ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
	ks.source.serveKeys(1)
	ks.clock.advance(time.Minute)
	ks.requireAccepts(t, 1)
	assert.Contains(t, ks.logs.String(), "connection refused")
}

// TestKeySetUnavailable: without any keys, the sender gets a 503.
func TestKeySetUnavailable(t *testing.T) {
	source := &keySource{}
	source.fail()
	keys := &geminihook.KeySet{
		Client: &http.Client{Transport: source}, Logger: slog.New(slog.DiscardHandler),
	}
	both := geminihook.AnyOf(newVerifier(t), keys)
	rc := newReceiver(t, &geminihook.Endpoint{Verifier: both}, succeed)
	got := rc.send(t, newDynamic(1, time.Now()))
	assert.Equal(t, 503, got.status)
	assert.NotEmpty(t, got.header.Get("Retry-After"))
	assert.Equal(t, geminihook.Unavailable, rc.next().Result)
	assert.Contains(t, rc.log(), "connection refused")
	assert.Equal(t, 200, rc.send(t, newBatch()).status, "static deliveries go on")
}

// TestKeySetDue: a due refresh makes no delivery wait, and is picked up.
func TestKeySetDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := newTestKeySet(t, 1)
		ks.clock.now = time.Now()
		ks.requireAccepts(t, 1)
		ks.clock.advance(time.Hour)
		slow := make(chan struct{})
		ks.source.set(func(*http.Request) (*http.Response, error) {
			<-slow
			return httpResponse(200, jwks(2)), nil
		})
		for range 10 {
			ks.requireAccepts(t, 1)
		}
		synctest.Wait()
		assert.EqualValues(t, 2, ks.source.fetches.Load())
		close(slow)
		synctest.Wait()
		ks.requireAccepts(t, 2)
		ks.requireRefuses(t, 1, geminihook.ErrSignature)
	})
}

// TestKeySetShares: concurrent first deliveries share a fetch, and one that
// gives up does not end it for the others.
func TestKeySetShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ks := newTestKeySet(t)
		ks.clock.now = time.Now()
		reply := make(chan struct{})
		ks.source.set(func(r *http.Request) (*http.Response, error) {
			select {
			case <-reply:
				return httpResponse(200, jwks(1)), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		ctx, giveUp := context.WithCancel(t.Context())
		d := newDynamic(1, time.Now())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := ks.keys.Verify(ctx, d.Header, d.Body)
			assert.ErrorIs(t, err, geminihook.ErrUnavailable)
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		for range 63 {
			wg.Go(func() {
				_, err := ks.verify(1)
				assert.NoError(t, err)
			})
		}
		synctest.Wait()
		giveUp()
		synctest.Wait()
		close(reply)
		wg.Wait()
		assert.EqualValues(t, 1, ks.source.fetches.Load())
	})
}

// TestKeySetRace: 64 verifiers while the keys rotate under them.
func TestKeySetRace(t *testing.T) {
	ks := newTestKeySet(t, 0, 1)
	ks.keys.MinRefresh, ks.keys.Tolerance = time.Nanosecond, 24*time.Hour
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := range 5 {
				if w == 0 {
					ks.source.serveKeys(0, i%4)
					ks.clock.advance(time.Minute)
				}
				if _, err := ks.verify(0); err != nil {
					t.Errorf("the key that never left: %v", err)
				}
				_, _ = ks.verify(i % 4)
			}
		})
	}
	wg.Wait()
}

// TestKeySetRotationShared: a delivery that has tried the old keys does not miss the
// new ones, which were fetched for another delivery in the meantime.
func TestKeySetRotationShared(t *testing.T) {
	for range 5 {
		ks := newTestKeySet(t, 1, 2, 3)
		ks.requireAccepts(t, 1)
		ks.source.serveKeys(4)
		ks.clock.advance(time.Minute)
		body := make([]byte, 50_000) // so that it takes time to try the old keys
		d := webhooktest.NewBody(body).Sign(ks.clock.Now(), webhooktest.Dynamic(webhooktest.Key(4)))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := ks.keys.Verify(t.Context(), d.Header, d.Body)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, ks.source.fetches.Load())
	}
}
