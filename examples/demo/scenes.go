package main

import (
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

const bindingSecret = "whsec_ZGVtby1iaW5kaW5nLXNlY3JldC0wMDAwMDAx"

var (
	static  = webhooktest.Static(webhooktest.Secret)
	dynamic = webhooktest.Dynamic(webhooktest.Key(1))
)

// scene is a delivery, how often it is sent, and what must come of it.
type scene struct {
	name     string
	delivery *webhooktest.Delivery
	answer   string // the statuses of all attempts
	runs     int    // of the function, up to here
	attempts int    // one after the other; zero means one
	atOnce   int    // copies beside the first, while it runs
}

// play sends the delivery and returns the answers.
func (s *scene) play(url string) (string, error) {
	if s.atOnce > 0 {
		return s.playAtOnce(url)
	}
	var answers []string
	for range max(1, s.attempts) {
		answer, err := send(url, s.delivery)
		if err != nil {
			return "", err
		}
		answers = append(answers, answer)
	}
	return strings.Join(answers, ", "), nil
}

func (s *scene) playAtOnce(url string) (string, error) {
	var mu sync.Mutex
	var failed error
	counts := map[string]int{}
	var wg sync.WaitGroup
	for range s.atOnce + 1 {
		wg.Go(func() {
			answer, err := send(url, s.delivery)
			mu.Lock()
			defer mu.Unlock()
			counts[answer]++
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	var answers []string
	for answer, n := range counts {
		answers = append(answers, fmt.Sprintf("%d x %s", n, answer))
	}
	sort.Strings(answers)
	return strings.Join(answers, ", "), failed
}

// send returns the status, or what a sender sees when the receiver crashes.
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

// scenes makes the scenes of the recorded deliveries and some more.
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
		all = append(all, scene{name: string(t), delivery: fresh(string(t), static), answer: "200", runs: 1})
	}
	jwt := fresh("jwt")
	jwt.Header.Set("webhook-signature", files["jwt"].Header.Get("webhook-signature"))
	return append(all,
		scene{name: "the first once more", delivery: fresh("duplicate", static), answer: "200", runs: 1},
		scene{name: "20 copies at once", delivery: trouble("slow"), atOnce: 19, answer: "1 x 200, 19 x 503", runs: 1},
		scene{name: "fails, then a retry", delivery: trouble("fails at first"), attempts: 3, answer: "500, 200, 200", runs: 2},
		scene{name: "panics, then a retry", delivery: trouble("panics at first"), attempts: 2, answer: "hung up, 200", runs: 2},
		scene{name: "secret being rotated", delivery: fresh("rotated-secret", webhooktest.Static(webhooktest.NewSecret()), static), answer: "200", runs: 1},
		scene{name: "unknown type", delivery: fresh("unknown-type", static), answer: "200", runs: 1},
		scene{name: "dynamic, our job", delivery: webhooktest.NewBody(bound(), dynamic), answer: "200", runs: 1},
		scene{name: "dynamic, not our job", delivery: fresh("dynamic", dynamic), answer: "403"},
		scene{name: "stale", delivery: files["stale"], answer: "400"},
		scene{name: "body tampered with", delivery: fresh("tampered", static).Tampered(), answer: "400"},
		scene{name: "wrong secret", delivery: fresh("wrong-secret").WrongSecret(), answer: "400"},
		scene{name: "a JWT as signature", delivery: jwt, answer: "400"},
		scene{name: "not JSON", delivery: fresh("not-json", static), answer: "400"},
		scene{name: "over 1 MiB", delivery: fresh("oversized", static), answer: "413"},
	)
}

// trouble is a delivery whose metadata tells the function how to behave.
func trouble(how string) *webhooktest.Delivery {
	return webhooktest.NewBody(webhooktest.BodyWith(geminihook.EventBatchSucceeded, map[string]any{"demo": how}), static)
}

// bound is the body of an event about a job that this program created.
func bound() []byte {
	binding, err := geminihook.NewBinding(bindingSecret)
	if err != nil {
		panic(err) // the secret is a constant
	}
	metadata, err := binding.Metadata("order-1042")
	if err != nil {
		panic(err)
	}
	return webhooktest.BodyWith(geminihook.EventVideoGenerated, metadata)
}
