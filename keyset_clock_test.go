package geminihook_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKeySetClockSetBack: keys do not become younger, and nothing waits until the
// clock has caught up.
func TestKeySetClockSetBack(t *testing.T) {
	const month = 30 * 24 * time.Hour
	t.Run("a delivery that the cached keys accept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ks := newTestKeySet(t, 1)
			ks.requireAccepts(t, 1)
			ks.clock.advance(-month)
			ks.source.serveKeys(2)
			ks.requireAccepts(t, 1) // and starts a fetch
			synctest.Wait()
			assert.EqualValues(t, 2, ks.source.fetches.Load())
			ks.requireRefuses(t, 1, geminihook.ErrSignature)
			assert.Equal(t, ks.clock.Now(), ks.keys.Status().FetchedAt)
		})
	})
	t.Run("a delivery that they do not accept", func(t *testing.T) {
		ks := newTestKeySet(t, 1)
		ks.requireAccepts(t, 1)
		ks.source.serveKeys(2)
		ks.clock.advance(-month)
		ks.requireAccepts(t, 2)
		ks.source.serveKeys(3)
		ks.requireRefuses(t, 3, geminihook.ErrSignature) // too early for another
		assert.EqualValues(t, 2, ks.source.fetches.Load())
	})
	t.Run("after the keys were due", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ks := newTestKeySet(t, 1)
			ks.requireAccepts(t, 1)
			ks.clock.advance(2 * time.Hour)
			ks.source.fail()
			ks.requireAccepts(t, 1)
			synctest.Wait()
			ks.clock.advance(-110 * time.Minute) // ten minutes after the keys were fetched
			ks.source.serveKeys(2)
			ks.requireAccepts(t, 1)
			synctest.Wait()
			ks.requireAccepts(t, 2)
		})
	})
	t.Run("after 24 hours", func(t *testing.T) {
		ks := newTestKeySet(t, 1)
		ks.requireAccepts(t, 1)
		ks.source.fail()
		ks.clock.advance(24*time.Hour + 1)
		ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
		ks.clock.advance(-month)
		ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
		assert.Zero(t, ks.keys.Status().Keys)
		ks.source.serveKeys(1)
		ks.clock.advance(time.Minute)
		ks.requireAccepts(t, 1)
	})
	t.Run("they serve for the rest of 24 hours", func(t *testing.T) {
		ks := newTestKeySet(t, 1)
		ks.requireAccepts(t, 1)
		ks.source.fail()
		ks.clock.advance(20 * time.Hour)
		ks.requireAccepts(t, 1)
		ks.clock.advance(-month)
		ks.requireAccepts(t, 1)
		ks.clock.advance(4 * time.Hour)
		ks.requireAccepts(t, 1)
		ks.clock.advance(1)
		ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
	})
}

// TestKeySetBackOff: while no keys are held, a failed fetch is repeated after
// one second, then two, four and so on up to MinRefresh.
func TestKeySetBackOff(t *testing.T) {
	for _, tt := range []struct {
		name       string
		minRefresh time.Duration
		seconds    []int // from each fetch to the next
	}{
		{"default", 0, []int{1, 2, 4, 8, 16, 32, 60, 60, 60}},
		{"ten seconds", 10 * time.Second, []int{1, 2, 4, 8, 10, 10}},
		{"an hour", time.Hour, []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600}},
		{"negative, which means the default", -1, []int{1, 2, 4, 8, 16, 32, 60, 60, 60}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := newTestKeySet(t)
			ks.keys.MinRefresh = tt.minRefresh
			ks.source.fail()
			for i, seconds := range tt.seconds {
				ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
				require.EqualValues(t, i+1, ks.source.fetches.Load())
				ks.clock.advance(time.Duration(seconds)*time.Second - 1)
				ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
				require.EqualValues(t, i+1, ks.source.fetches.Load(), "too early")
				ks.clock.advance(1)
			}
			ks.source.serveKeys(1)
			ks.requireAccepts(t, 1)
			ks.source.fail() // with keys, MinRefresh counts again
			fetches := ks.source.fetches.Load()
			ks.clock.advance(2 * time.Second)
			ks.requireRefuses(t, 9, geminihook.ErrSignature)
			assert.Equal(t, fetches, ks.source.fetches.Load())
			ks.clock.advance(25 * time.Hour) // after which they may not be used
			for range 2 {
				fetches++
				ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
				require.Equal(t, fetches, ks.source.fetches.Load(), "after a second again")
				ks.clock.advance(time.Second)
			}
		})
	}
	t.Run("MinRefresh below a second", func(t *testing.T) {
		ks := newTestKeySet(t)
		ks.keys.MinRefresh = 100 * time.Millisecond
		ks.source.fail()
		for i := range 5 {
			ks.requireRefuses(t, 1, geminihook.ErrUnavailable)
			require.EqualValues(t, i+1, ks.source.fetches.Load())
			ks.clock.advance(100 * time.Millisecond)
		}
	})
}

// TestKeySetTooEarly: a mismatch that may be due to a rotation is not called a
// forgery when the keys could not be fetched again.
func TestKeySetTooEarly(t *testing.T) {
	ks := newTestKeySet(t, 1)
	ks.requireAccepts(t, 1)
	ks.clock.advance(10 * time.Second)
	_, err := ks.verify(2)
	requireVerdict(t, err, geminihook.ErrSignature,
		notRefreshed+"the last fetch was 10s ago, and there is at most one per 1m0s")
	ks.clock.advance(time.Minute)
	_, err = ks.verify(2)
	requireVerdict(t, err, geminihook.ErrSignature, publicKeyMismatch) // the keys are new
	ks.source.fail()
	ks.clock.advance(time.Minute)
	for range 2 {
		_, err = ks.verify(2)
		requireVerdict(t, err, geminihook.ErrSignature, notRefreshed+refusedConnection)
		assert.EqualValues(t, 3, ks.source.fetches.Load(), "a failed fetch counts, too")
		ks.clock.advance(2 * time.Second)
	}
}

const refusedConnection = `Get "` + geminihook.GoogleKeySetURL + `": connection refused`
