// Package user_test is copied by tools/release-check into a module that has
// fetched a store: it delivers an event through the store, twice.
package user_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// deliver delivers an event twice: it must be handled once.
func deliver(t *testing.T, endpoint *geminihook.Endpoint) {
	t.Helper()
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		t.Fatal(err)
	}
	endpoint.Verifier = verifier
	runs := 0
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error {
		runs++
		return nil
	})
	signer := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	for range 2 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, delivery.Request("/"))
		if w.Code != 200 || runs != 1 {
			t.Errorf("status %d after %d runs", w.Code, runs)
		}
	}
}
