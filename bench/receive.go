package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a handler that is compared.
type receiver struct {
	name    string
	handler http.Handler
}

var receiveNames = []string{"empty handler", "the page's handler in Go", "geminihook"}

// receivers are the floor, what Google's page shows, and this package.
func receivers() []receiver {
	return []receiver{
		{receiveNames[0], http.HandlerFunc(empty)},
		{receiveNames[1], page(right)},
		{receiveNames[2], endpoint(right)},
	}
}

// empty reads the body and responds.
func empty(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusOK)
}

// page is the handler that Google's page shows, in Go: the reference library,
// a map, and no memory of what it has seen.
func page(secret string) http.Handler {
	webhook, err := standardwebhooks.NewWebhook(secret)
	must(err)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		if err := webhook.Verify(payload, r.Header); err != nil {
			http.Error(w, "invalid signature", http.StatusBadRequest)
			return
		}
		var event map[string]any
		if err := json.Unmarshal(payload, &event); err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		if event["type"] == "batch.succeeded" {
			data, _ := event["data"].(map[string]any)
			_, _ = data["output_file_uri"].(string)
		}
		w.WriteHeader(http.StatusOK)
	})
}

// endpoint verifies, decodes and deduplicates.
func endpoint(secret string) http.Handler {
	verifier, err := geminihook.NewHMAC(secret)
	must(err)
	// Without a log, because the page has none.
	e := &geminihook.Endpoint{Verifier: verifier, Logger: slog.New(slog.DiscardHandler)}
	return e.Handler(func(_ context.Context, ev *geminihook.Event) error {
		if data, ok := ev.Data.(*geminihook.BatchSucceeded); ok {
			_ = data.OutputFileURI
		}
		return nil
	})
}

const readTimeout = 10 * time.Second // of all servers, as the README's program has it

// reply is an http.ResponseWriter that keeps the status.
type reply struct {
	header http.Header
	status int
}

func (r *reply) Header() http.Header         { return r.header }
func (r *reply) Write(b []byte) (int, error) { return len(b), nil }
func (r *reply) WriteHeader(status int)      { r.status = status }

// inProcess calls the handlers themselves, each time with another delivery
// that is signed with the secret, and wants the status.
func inProcess(rounds, n, workers int, receivers []receiver, secret string, status int) []cost {
	signer := webhooktest.Static(secret)
	var ways []way
	for _, rc := range receivers {
		var requests []*http.Request
		var replies []reply
		ways = append(ways, way{
			name: rc.name,
			prepare: func(n int) {
				requests, replies = make([]*http.Request, n), make([]reply, n)
				ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{
					ReadTimeout: readTimeout,
				})
				for i := range requests {
					d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
					requests[i] = d.Request("/").WithContext(ctx)
					requests[i].Body = io.NopCloser(bytes.NewReader(d.Body))
					replies[i].header = make(http.Header)
				}
			},
			run: func(i int) {
				rc.handler.ServeHTTP(&replies[i], requests[i])
				if replies[i].status != status {
					panic(fmt.Sprintf("bench: %s responded with %d", rc.name, replies[i].status))
				}
			},
		})
	}
	return compare(rounds, n, workers, ways)
}

var forgedNames = []string{
	"geminihook, forged: refused",
	"geminihook, genuine: up to verification",
	"the page's handler, forged: refused",
}

// forged is a delivery with a wrong signature, beside a genuine one as far as
// verification.
func forged(rounds, n int) []cost {
	verifier, err := geminihook.NewHMAC(wrong)
	must(err)
	genuine := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		must(err)
		_, err = verifier.Verify(r.Context(), r.Header, body)
		must(err)
		w.WriteHeader(http.StatusBadRequest) // as inProcess expects of all
	})
	return inProcess(rounds, n, 1, []receiver{
		{forgedNames[0], endpoint(right)}, {forgedNames[1], genuine}, {forgedNames[2], page(right)},
	}, wrong, http.StatusBadRequest)
}

// overTCP sends the deliveries over loopback with net/http's client, on as many
// connections as there are workers, which are kept alive.
func overTCP(rounds, n, workers int) []cost {
	signer := webhooktest.Static(right)
	transport := &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var ways []way
	for _, rc := range receivers() {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		server := &http.Server{Handler: rc.handler, ReadTimeout: readTimeout}
		go func() { _ = server.Serve(listener) }()
		defer func() { _ = server.Close() }()
		var requests []*http.Request
		ways = append(ways, way{
			name: rc.name,
			prepare: func(n int) {
				requests = make([]*http.Request, n)
				for i := range requests {
					d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
					request, err := d.ClientRequest("http://" + listener.Addr().String())
					must(err)
					requests[i] = request
				}
			},
			run: func(i int) {
				response, err := client.Do(requests[i])
				must(err)
				_, err = io.Copy(io.Discard, response.Body)
				must(err)
				must(response.Body.Close())
				if response.StatusCode != http.StatusOK {
					panic(fmt.Sprintf("bench: %s responded with %d", rc.name, response.StatusCode))
				}
			},
		})
	}
	return compare(rounds, n, workers, ways)
}
