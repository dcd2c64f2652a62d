package geminihook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// OpenAI's events have a type, and their secrets the form of Gemini's.
func Example_openAI() {
	secret := webhooktest.RandomSecret() // the signing secret in OpenAI's dashboard
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	handler := endpoint.Handler(func(_ context.Context, ev *geminihook.Event) error {
		var event struct {
			CreatedAt int64 `json:"created_at"`
			Data      struct{ ID string }
		}
		if err := json.Unmarshal(ev.Raw, &event); err != nil {
			return geminihook.Permanent(err)
		}
		fmt.Println(ev.Type, event.Data.ID, time.Unix(event.CreatedAt, 0).UTC())
		return nil
	})

	body := `{"id":"evt_1","object":"event","created_at":1750861210,"type":"response.completed","data":{"id":"resp_123"}}`
	delivery := webhooktest.NewBody([]byte(body), webhooktest.Static(secret))
	fmt.Println(webhooktest.Post(handler, delivery))
	// Output:
	// response.completed resp_123 2025-06-25 14:20:10 +0000 UTC
	// 200
}

// Polar's secret is a text, whose bytes are the key.
func Example_polar() {
	text := "polar_whs_0123456789abcdefghijklmnopqrstuv"
	secret, err := geminihook.NewSecret([]byte(text))
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{
		Verifier: &geminihook.HMAC{Secrets: []geminihook.Secret{secret}},
	}
	http.Handle("POST /polar", endpoint.Handler(handle))
}

// svixHeaders gives the headers of senders such as Resend and Clerk their standard
// names.
func svixHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		for _, name := range []string{"id", "timestamp", "signature"} {
			if values := r.Header.Values("svix-" + name); len(values) > 0 {
				r.Header[http.CanonicalHeaderKey("webhook-"+name)] = values
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Resend and Clerk sign as Gemini does, and name the headers svix-id,
// svix-timestamp and svix-signature.
func Example_svixHeaders() {
	secret := webhooktest.RandomSecret()
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	handler := svixHeaders(endpoint.Handler(handle))

	body := []byte(`{"type":"user.created","data":{"id":"user_1"}}`)
	request := webhooktest.NewBody(body, webhooktest.Static(secret)).Request("/clerk")
	for _, name := range []string{"Id", "Timestamp", "Signature"} {
		request.Header["Svix-"+name] = request.Header["Webhook-"+name]
		delete(request.Header, "Webhook-"+name)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, request)
	fmt.Println(w.Code)
	// Output: 200
}

// The hooks of Supabase Auth expect data in the response, so Receive
// verifies and the program responds.
func Example_supabase() {
	text := "v1," + webhooktest.RandomSecret() // as Supabase shows it
	verifier, err := geminihook.NewHMAC(strings.TrimPrefix(text, "v1,"))
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	http.HandleFunc("POST /hooks/token", func(w http.ResponseWriter, r *http.Request) {
		ev, err := endpoint.Receive(w, r)
		if err != nil {
			status := geminihook.StatusCode(err)
			http.Error(w, http.StatusText(status), status)
			return
		}
		var hook struct {
			Claims map[string]any `json:"claims"`
		}
		if err := json.Unmarshal(ev.Raw, &hook); err != nil {
			http.Error(w, "unknown form", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(hook)
	})
}
