package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// The secrets are fresh in each run: a receiver must never accept a published
// one, not even for the moment that this program takes.
var (
	secret        = webhooktest.RandomSecret()
	bindingSecret = webhooktest.RandomSecret()

	static  = webhooktest.Static(secret)
	dynamic = webhooktest.Dynamic(webhooktest.Key(1))
)

// scene is a delivery, how often it is sent, and the expected result.
type scene struct {
	name     string
	delivery *webhooktest.Delivery
	response string // the statuses of all attempts
	runs     int    // of the function for this event, so far
	attempts int    // consecutive attempts; zero means one
	atOnce   int    // further copies that are sent at the same time
}

// play sends the delivery and returns the responses.
func (s *scene) play(url string) (string, error) {
	if s.atOnce > 0 {
		return s.playAtOnce(url)
	}
	var responses []string
	for range max(1, s.attempts) {
		response, err := send(url, s.delivery)
		if err != nil {
			return "", err
		}
		responses = append(responses, response)
	}
	return strings.Join(responses, ", "), nil
}

func (s *scene) playAtOnce(url string) (string, error) {
	var mu sync.Mutex
	var failed error
	counts := map[string]int{}
	var wg sync.WaitGroup
	for range s.atOnce + 1 {
		wg.Go(func() {
			response, err := send(url, s.delivery)
			mu.Lock()
			defer mu.Unlock()
			counts[response]++
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	var responses []string
	for _, response := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[response]; n > 1 {
			response = fmt.Sprintf("%d x %s", n, response)
		}
		responses = append(responses, response)
	}
	return strings.Join(responses, ", "), failed
}

// send returns the status of the response, or "hung up" if the receiver closed the
// connection.
func send(url string, d *webhooktest.Delivery) (string, error) {
	req, err := d.ClientRequest(url)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "hung up", nil
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return fmt.Sprint(resp.StatusCode), err
}

// scenes returns the scenes with the recorded deliveries and some more.
func scenes(recorded []webhooktest.Recorded) []scene {
	files := map[string]*webhooktest.Delivery{}
	for _, r := range recorded {
		files[r.Name] = r.Delivery
	}
	fresh := func(name string, signers ...webhooktest.Signer) *webhooktest.Delivery {
		return files[name].Clone().Sign(time.Now(), signers...)
	}
	var all []scene
	for _, t := range webhooktest.Types() {
		all = append(all, scene{
			name: string(t), delivery: fresh(string(t), static), response: "200", runs: 1,
		})
	}
	jwt := fresh("jwt")
	jwt.Header.Set("webhook-signature", files["jwt"].Header.Get("webhook-signature"))
	return append(all,
		scene{
			name: "the first once more", delivery: fresh("duplicate", static), response: "200",
			runs: 1,
		},
		scene{
			name: "20 copies at once", delivery: trouble("slow"), atOnce: copies,
			response: "200, 19 x 503", runs: 1,
		},
		scene{
			name: "fails, then a retry", delivery: trouble("fails at first"), attempts: 3,
			response: "500, 200, 200", runs: 2,
		},
		scene{
			name: "panics, then a retry", delivery: trouble("panics at first"), attempts: 2,
			response: "hung up, 200", runs: 2,
		},
		scene{
			name: "secret being rotated",
			delivery: fresh("rotated-secret", webhooktest.Static(webhooktest.RandomSecret()),
				static),
			response: "200", runs: 1,
		},
		scene{
			name: "unknown type", delivery: fresh("unknown-type", static), response: "200",
			runs: 1,
		},
		scene{
			name: "dynamic, our job", delivery: webhooktest.NewBody(bound(), dynamic),
			response: "200", runs: 1,
		},
		scene{name: "dynamic, not our job", delivery: fresh("dynamic", dynamic), response: "403"},
		scene{name: "stale", delivery: fresh("stale", static).Stale(), response: "400"},
		scene{name: "body tampered with", delivery: fresh("tampered", static).Tampered(), response: "400"},
		scene{name: "wrong secret", delivery: fresh("wrong-secret", static).WrongSecret(), response: "400"},
		scene{name: "a JWT as signature", delivery: jwt, response: "400"},
		scene{name: "not JSON", delivery: fresh("not-json", static), response: "400"},
		scene{name: "over 1 MiB", delivery: fresh("oversized", static), response: "413"},
	)
}

// copies is how many further copies of one delivery arrive at once.
const copies = 19

// trouble returns a delivery whose metadata tells the function how to behave.
func trouble(how string) *webhooktest.Delivery {
	return webhooktest.NewBody(webhooktest.BodyWith(geminihook.EventBatchSucceeded,
		map[string]any{"demo": how}), static)
}

// bound returns the body of an event about a job that this program created.
func bound() []byte {
	binding, err := geminihook.NewBinding(bindingSecret)
	if err != nil {
		panic(err) // the secret is valid
	}
	metadata, err := binding.Metadata("order-1042")
	if err != nil {
		panic(err)
	}
	return webhooktest.BodyWith(geminihook.EventVideoGenerated, metadata)
}
