package webhooktest_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// Test dynamic webhooks with a key server that stands in for Google's.
func ExampleKeyServer() {
	keys := webhooktest.NewKeyServer(webhooktest.Public(webhooktest.Key(1)))
	defer keys.Close()
	endpoint := &geminihook.Endpoint{Verifier: &geminihook.KeySet{URL: keys.URL}}
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error { return nil })
	for n := range 2 {
		signer := webhooktest.Dynamic(webhooktest.Key(n))
		delivery := webhooktest.New(geminihook.EventVideoGenerated, signer)
		fmt.Println(webhooktest.Post(handler, delivery))
	}
	fmt.Println(keys.Fetches(), "fetch")
	// Output:
	// 400
	// 200
	// 1 fetch
}

// Simulate an outage of the key server.
func ExampleKeyServer_SetHandler() {
	keys := webhooktest.NewKeyServer()
	defer keys.Close()
	keys.SetHandler(http.NotFoundHandler())
	endpoint := &geminihook.Endpoint{Verifier: &geminihook.KeySet{URL: keys.URL}}
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error { return nil })
	signer := webhooktest.Dynamic(webhooktest.Key(1))
	delivery := webhooktest.New(geminihook.EventVideoGenerated, signer)
	fmt.Println(webhooktest.Post(handler, delivery))
	// Output:
	// 503
}

func ExampleJWKS() {
	fmt.Println(string(webhooktest.JWKS(webhooktest.Public(webhooktest.Key(1)))))
	// Output:
	// {"keys":[{"crv":"Ed25519","kty":"OKP","x":"s1Jgewxb8nUK6ss35JEgca0-FoZtXpSaZBezfzkhhEI"}]}
}

// Test how a handler copes with retries. In a testing/synctest bubble, no short
// waits are needed.
func ExampleSender() {
	calls := 0
	flaky := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 3 {
			panic("crash")
		}
		handler().ServeHTTP(w, r)
	})
	sender := &webhooktest.Sender{
		Handler:    flaky,
		Signers:    []webhooktest.Signer{webhooktest.Static(webhooktest.TestSecret)},
		FirstRetry: time.Millisecond,
	}
	delivery := webhooktest.New(geminihook.EventBatchSucceeded)
	report, err := sender.Deliver(context.Background(), delivery)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range report.Attempts {
		fmt.Println(a.Number, a.Status, a.Acknowledged())
	}
	fmt.Println(len(report.Lost), "lost")
	// Output:
	// 1 0 false
	// 2 0 false
	// 3 200 true
	// 0 lost
}
