package geminihook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// BenchmarkVerify measures three ways to verify the same delivery in turns, so
// that a noisy machine is noisy for all: this package, the floor (a reused HMAC
// over the signed bytes, no more) and the reference library. The ratios are of
// medians.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{300, 4 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			d := webhooktest.NewBody(make([]byte, size), signer)
			ours, err := geminihook.NewHMAC(webhooktest.Secret)
			require.NoError(b, err)
			reference, err := standardwebhooks.NewWebhook(webhooktest.Secret)
			require.NoError(b, err)
			floor := hmac.New(sha256.New, make([]byte, 30))
			signed := []byte(d.ID() + "." + d.Header.Get("webhook-timestamp") + "." + string(d.Body))
			var sum [sha256.Size]byte
			ctx := context.Background()
			ways := []func(){
				func() { _, _ = ours.Verify(ctx, d.Header, d.Body) },
				func() { floor.Reset(); floor.Write(signed); floor.Sum(sum[:0]) },
				func() { _ = reference.Verify(d.Body, d.Header) },
			}
			times := inTurns(b, ways, max(1, 100_000/size))
			b.ReportMetric(times[0], "ns/verify")
			b.ReportMetric(times[0]/times[1], "x-floor")
			b.ReportMetric(times[0]/times[2], "x-reference")
			b.ReportMetric(0, "ns/op") // of all three together: means nothing
		})
	}
}

// inTurns runs each way n times in turn, until the benchmark ends, and returns
// the median time of one run of each, in nanoseconds.
func inTurns(b *testing.B, ways []func(), n int) []float64 {
	rounds := make([][]float64, len(ways))
	for b.Loop() {
		for i, way := range ways {
			start := time.Now()
			for range n {
				way()
			}
			rounds[i] = append(rounds[i], float64(time.Since(start).Nanoseconds())/float64(n))
		}
	}
	medians := make([]float64, len(ways))
	for i, r := range rounds {
		slices.Sort(r)
		medians[i] = r[len(r)/2]
	}
	return medians
}

// BenchmarkKeySet: the steady state costs one Ed25519 verification whatever the
// size of the set.
func BenchmarkKeySet(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(strconv.Itoa(n)+"keys", func(b *testing.B) {
			all := make([]int, n)
			for i := range all {
				all[i] = i
			}
			source := &keySource{}
			source.serveKeys(all...)
			keys := &geminihook.KeySet{Client: &http.Client{Transport: source}}
			d := webhooktest.New(geminihook.EventVideoGenerated, webhooktest.Dynamic(webhooktest.Key(n-1)))
			for b.Loop() {
				if _, err := keys.Verify(b.Context(), d.Header, d.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	body := webhooktest.Body(geminihook.EventBatchSucceeded)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := geminihook.ParseUnverified(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEndpoint is the whole way of a delivery, in process.
func BenchmarkEndpoint(b *testing.B) {
	v, err := geminihook.NewHMAC(webhooktest.Secret)
	require.NoError(b, err)
	h := (&geminihook.Endpoint{Verifier: v}).Handler(func(context.Context, *geminihook.Event) error { return nil })
	d := webhooktest.New(geminihook.EventBatchSucceeded)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		d.SetID(strconv.Itoa(i))
		r := d.Sign(time.Now(), signer).Request("/")
		w := httptest.NewRecorder()
		b.StartTimer()
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}

// BenchmarkMemoryStore is a claim and its completion where so many ids are held:
// with room for more, and in a full store, which first drives an old one out.
func BenchmarkMemoryStore(b *testing.B) {
	for _, full := range []bool{false, true} {
		for _, n := range []int{1_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("full=%t/%d", full, n), func(b *testing.B) {
				var m *geminihook.MemoryStore
				once := func(i int) {
					key := "msg_" + strconv.Itoa(i)
					c, err := m.Claim(b.Context(), key, time.Minute, time.Hour)
					if err == nil {
						err = m.Complete(b.Context(), key, c.Token, time.Hour)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				for i := 0; b.Loop(); i++ {
					if i%(n/2) == 0 && (m == nil || !full) { // n to 1.5 n
						b.StopTimer()
						m = &geminihook.MemoryStore{MaxEntries: 2 * n}
						if full {
							m.MaxEntries = n
						}
						for i := range n {
							once(-1 - i)
						}
						runtime.GC()
						b.StartTimer()
					}
					once(i)
				}
			})
		}
	}
}
