package geminihook_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

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
	h := (&geminihook.Endpoint{Verifier: v, Logger: slog.New(slog.DiscardHandler)}).Handler(func(context.Context, *geminihook.Event) error { return nil })
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
