package geminihook_test

import (
	"context"
	"encoding/json"
	"fmt"
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
		if len(v.JWKS) == 0 {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			kt := newKeySetTest(t)
			kt.clock.now = time.Unix(v.Now, 0)
			set := make([]map[string]string, len(v.JWKS))
			for i, k := range v.JWKS {
				set[i] = map[string]string{"kty": "OKP", "crv": "Ed25519", "x": k.X, "kid": fmt.Sprint("key-", i)}
			}
			b, err := json.Marshal(map[string]any{"keys": set})
			require.NoError(t, err)
			kt.source.serve(string(b))
			proof, err := kt.Verify(t.Context(), v.header(), []byte(v.Body))
			if !v.Valid || strings.HasPrefix(v.Signature, "v1,") && !strings.Contains(v.Signature, "v1a,") {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, geminihook.Proof{Scheme: "v1a", KeyName: fmt.Sprint("key-", v.Key)}, proof)
		})
	}
}

func TestKeySetCaches(t *testing.T) {
	kt := newKeySetTest(t, 1, 2, 3)
	for _, key := range []int{1, 2, 3, 3, 1} {
		kt.accepts(key)
	}
	assert.EqualValues(t, 1, kt.source.fetches.Load())
	proof, err := kt.verify(2)
	require.NoError(t, err)
	assert.Len(t, proof.KeyName, 43, "the thumbprint of a key without kid")
	_, err = kt.Verify(t.Context(), webhooktest.New(geminihook.EventBatchFailed).Sign(at, signer).Header, nil)
	require.ErrorIs(t, err, geminihook.ErrSignature)
	assert.EqualValues(t, 1, kt.source.fetches.Load(), "a v1 delivery is no reason to fetch")
}

func TestKeySetFloodOfForgeries(t *testing.T) {
	kt := newKeySetTest(t, 1, 2, 3)
	kt.accepts(1)
	for minute := range 3 {
		for range 100 {
			kt.refuses(9, geminihook.ErrSignature)
			kt.clock.advance(100 * time.Millisecond)
		}
		kt.clock.advance(50 * time.Second)
		assert.LessOrEqual(t, kt.source.fetches.Load(), int64(minute+2))
	}
	kt.accepts(1)
}

func TestKeySetRotation(t *testing.T) {
	kt := newKeySetTest(t, 1)
	kt.accepts(1)
	kt.source.serveKeys(1, 2)
	kt.refuses(2, geminihook.ErrSignature) // too early to fetch again
	kt.clock.advance(time.Minute)
	kt.accepts(2)
	kt.source.serveKeys(2)
	kt.clock.advance(time.Minute)
	kt.refuses(9, geminihook.ErrSignature) // fetches
	kt.refuses(1, geminihook.ErrSignature)
	assert.EqualValues(t, 3, kt.source.fetches.Load())
}

// TestKeySetClockSetBack must not stop the fetches until it has caught up.
func TestKeySetClockSetBack(t *testing.T) {
	kt := newKeySetTest(t, 1)
	kt.accepts(1)
	kt.source.serveKeys(2)
	kt.clock.advance(-time.Hour)
	kt.accepts(2)
}

func TestKeySetOutage(t *testing.T) {
	kt := newKeySetTest(t, 1)
	kt.source.fail()
	kt.refuses(1, geminihook.ErrUnavailable)
	kt.source.serveKeys(1)
	kt.refuses(1, geminihook.ErrUnavailable)
	assert.EqualValues(t, 1, kt.source.fetches.Load(), "not asked again within the minute")
	kt.clock.advance(time.Minute)
	kt.accepts(1)

	kt.source.fail()
	for range 24 * 60 / 10 { // a delivery every ten minutes
		kt.accepts(1)
		kt.clock.advance(10 * time.Minute)
	}
	kt.accepts(1)
	kt.clock.advance(time.Second)
	kt.refuses(1, geminihook.ErrUnavailable)
	kt.source.serveKeys(1)
	kt.clock.advance(time.Minute)
	kt.accepts(1)
	assert.Contains(t, kt.logs.String(), "connection refused")
}

// TestKeySetUnavailable is what the sender sees.
func TestKeySetUnavailable(t *testing.T) {
	source := &keySource{}
	source.fail()
	keys := &geminihook.KeySet{Client: &http.Client{Transport: source}}
	rc := newReceiver(t, &geminihook.Endpoint{Verifier: geminihook.AnyOf(newVerifier(t), keys)}, succeed)
	dynamic := webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Dynamic(webhooktest.Key(1)))
	got := rc.send(t, dynamic)
	assert.Equal(t, 503, got.status)
	assert.NotEmpty(t, got.header.Get("Retry-After"))
	assert.Equal(t, geminihook.Unavailable, rc.next().Result)
	assert.Contains(t, rc.log(), "connection refused")
	assert.Equal(t, 200, rc.send(t, newBatch()).status, "static deliveries go on")
}

// TestKeySetDue: a due refresh makes no delivery wait, and is picked up.
func TestKeySetDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kt := newKeySetTest(t, 1)
		kt.clock.now = time.Now()
		kt.accepts(1)
		kt.clock.advance(time.Hour)
		slow := make(chan struct{})
		kt.source.set(func(*http.Request) (*http.Response, error) { <-slow; return httpResponse(200, jwks(2)), nil })
		for range 10 {
			kt.accepts(1)
		}
		synctest.Wait()
		assert.EqualValues(t, 2, kt.source.fetches.Load())
		close(slow)
		synctest.Wait()
		kt.accepts(2)
		kt.refuses(1, geminihook.ErrSignature)
	})
}

// TestKeySetShares: concurrent first deliveries share a fetch, and one that
// gives up does not end it for the others.
func TestKeySetShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kt := newKeySetTest(t)
		kt.clock.now = time.Now()
		reply := make(chan struct{})
		kt.source.set(func(r *http.Request) (*http.Response, error) {
			select {
			case <-reply:
				return httpResponse(200, jwks(1)), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		ctx, giveUp := context.WithCancel(t.Context())
		d := webhooktest.New(geminihook.EventVideoGenerated).Sign(time.Now(), webhooktest.Dynamic(webhooktest.Key(1)))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := kt.Verify(ctx, d.Header, d.Body)
			assert.ErrorIs(t, err, geminihook.ErrUnavailable)
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		for range 63 {
			wg.Go(func() { kt.accepts(1) })
		}
		synctest.Wait()
		giveUp()
		synctest.Wait()
		close(reply)
		wg.Wait()
		assert.EqualValues(t, 1, kt.source.fetches.Load())
	})
}

// TestKeySetRace: 64 verifiers while the keys rotate under them.
func TestKeySetRace(t *testing.T) {
	kt := newKeySetTest(t, 0, 1)
	kt.MinRefresh, kt.Tolerance = time.Nanosecond, 24*time.Hour
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := range 20 {
				if w == 0 {
					kt.source.serveKeys(0, i%4)
					kt.clock.advance(time.Minute)
				}
				if _, err := kt.verify(0); err != nil {
					t.Errorf("the key that never left: %v", err)
				}
				_, _ = kt.verify(i % 4)
			}
		})
	}
	wg.Wait()
}

// TestKeySetBackOff: while no keys are held, a failed fetch is repeated after
// one second, then two, four and so on up to MinRefresh.
func TestKeySetBackOff(t *testing.T) {
	for _, tt := range []struct {
		name       string
		minRefresh time.Duration
		want       []time.Duration // from each fetch to the next
	}{
		{"default", 0, []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}},
		{"ten seconds", 10 * time.Second, []time.Duration{1, 2, 4, 8, 10, 10}},
		{"an hour", time.Hour, []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kt := newKeySetTest(t)
			kt.MinRefresh = tt.minRefresh
			kt.source.fail()
			for i, seconds := range tt.want {
				kt.refuses(1, geminihook.ErrUnavailable)
				require.EqualValues(t, i+1, kt.source.fetches.Load())
				kt.clock.advance(seconds*time.Second - 1)
				kt.refuses(1, geminihook.ErrUnavailable)
				require.EqualValues(t, i+1, kt.source.fetches.Load(), "too early after fetch %d", i+1)
				kt.clock.advance(1)
			}
			kt.source.serveKeys(1)
			kt.accepts(1)
			kt.source.fail() // with keys, MinRefresh counts again
			fetches := kt.source.fetches.Load()
			kt.clock.advance(2 * time.Second)
			kt.refuses(9, geminihook.ErrSignature)
			assert.Equal(t, fetches, kt.source.fetches.Load())
			kt.clock.advance(25 * time.Hour) // after which they may not be used
			for range 2 {
				fetches++
				kt.refuses(1, geminihook.ErrUnavailable)
				require.Equal(t, fetches, kt.source.fetches.Load(), "the back-off starts with a second again")
				kt.clock.advance(time.Second)
			}
		})
	}
	t.Run("MinRefresh below a second", func(t *testing.T) {
		kt := newKeySetTest(t)
		kt.MinRefresh = 100 * time.Millisecond
		kt.source.fail()
		for i := range 5 {
			kt.refuses(1, geminihook.ErrUnavailable)
			require.EqualValues(t, i+1, kt.source.fetches.Load())
			kt.clock.advance(100 * time.Millisecond)
		}
	})
}

// TestKeySetTooEarly: a mismatch that may be due to a rotation is not called a
// forgery when the keys could not be fetched again.
func TestKeySetTooEarly(t *testing.T) {
	kt := newKeySetTest(t, 1)
	kt.accepts(1)
	kt.clock.advance(10 * time.Second)
	_, err := kt.verify(2)
	require.ErrorIs(t, err, geminihook.ErrSignature)
	assert.ErrorContains(t, err, "the last fetch was 10s ago, and there is at most one per 1m0s")
	assert.NotContains(t, err.Error(), "forged")
	kt.clock.advance(time.Minute)
	_, err = kt.verify(2)
	require.ErrorIs(t, err, geminihook.ErrSignature)
	assert.ErrorContains(t, err, "the delivery is forged", "the keys are new")
	kt.source.fail()
	kt.clock.advance(time.Minute)
	_, err = kt.verify(2)
	require.ErrorIs(t, err, geminihook.ErrSignature)
	assert.ErrorContains(t, err, "connection refused")
	assert.NotContains(t, err.Error(), "forged")
}
