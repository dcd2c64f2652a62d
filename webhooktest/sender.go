package webhooktest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"
)

// Sender delivers events the way Google does. It repeats a delivery until the
// response is 2xx, for 24 hours, and doubles the wait after each attempt. Every
// attempt has the same webhook-id and a fresh timestamp and signature. A
// redirect is a failed attempt and is never followed, because its target would
// get a delivery with a valid signature.
//
// A Sender uses the clock of package time. In a [testing/synctest] bubble and
// with a Handler, a day of retries takes no time.
//
// Set URL, Handler, or both. The zero value of every other field means its
// documented default. Do not change the fields during a call of Deliver.
type Sender struct {
	// URL is where to deliver over HTTP. With a Handler, it is only the URL of
	// the requests, such as "/gemini" or "https://example.com/gemini". Empty
	// then means "/".
	URL string

	// Client sends the requests to URL. Nil means [http.DefaultClient]. Its
	// CheckRedirect is not used.
	Client *http.Client

	// Handler, if not nil, receives the deliveries in process. It may be a
	// router. A panic of the handler counts as a connection closed by the
	// receiver.
	Handler http.Handler

	// Signers sign each attempt; each of them adds one signature entry. If
	// empty, every attempt sends the delivery unchanged. What Tampered, Stale,
	// Future, and WrongSecret returned is never signed again, because that
	// would make it genuine.
	Signers []Signer

	Timeout     time.Duration // for one attempt; zero means 10 seconds
	FirstRetry  time.Duration // the wait after the first attempt; zero means 5 seconds
	MaxRetry    time.Duration // the longest wait; zero means 1 hour
	Concurrency int           // the number of concurrent deliveries; zero means 16

	// GiveUp is the time after which no attempt starts. Zero means 24 hours, and
	// a negative time means one attempt.
	GiveUp time.Duration

	Duplicates float64 // the fraction of attempts that are sent twice at the same time
	HangUps    float64 // the fraction of attempts that end before the response arrives
	Reorder    bool    // whether to deliver in random order

	// Rand decides everything that is random. Nil means a source with a random
	// seed.
	Rand *rand.Rand

	// Observe is called after each attempt, one call at a time for each call of
	// Deliver. It may call Deliver itself. Nil means that nothing is called.
	Observe func(Attempt)

	mu sync.Mutex // guards Rand
}

// Attempt is one attempt to deliver.
type Attempt struct {
	ID        string        // the webhook-id
	Number    int           // 1 for the first attempt
	Duplicate bool          // whether it is the second copy of an attempt
	At        time.Time     // when it began
	Elapsed   time.Duration // how long it took
	Status    int           // the status of the response; zero if there was none
	Err       error         // why there was no response, or that it was a redirect
}

// Acknowledged reports whether the status was 2xx.
func (a Attempt) Acknowledged() bool { return a.Status >= 200 && a.Status <= 299 }

// Report lists the attempts of one call of [Sender.Deliver] and their result.
type Report struct {
	Attempts  []Attempt // in the order in which they ended
	Delivered []string  // the ids that were acknowledged
	Lost      []string  // the ids that were not, before GiveUp or the end of the context
}

// Deliver sends each delivery until it is acknowledged or given up. It returns
// an error if neither URL nor Handler is set or URL cannot be parsed, and the
// context's error if the context ends. The report is valid in either case.
func (s *Sender) Deliver(ctx context.Context, deliveries ...*Delivery) (Report, error) {
	if s.Handler == nil && s.URL == "" {
		return Report{}, errors.New("webhooktest: Sender has neither URL nor Handler")
	}
	if _, err := s.target(); err != nil {
		return Report{}, fmt.Errorf("webhooktest: Sender.URL: %w", err)
	}
	var report Report
	var mu sync.Mutex // guards report
	// Not a mutex, because the time of a testing/synctest bubble would wait for it.
	observing := make(chan struct{}, 1)
	var wg sync.WaitGroup
	slots := make(chan struct{}, cmp.Or(s.Concurrency, 16))
	for _, i := range s.order(len(deliveries)) {
		d := deliveries[i]
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ok := s.deliver(ctx, d, func(a Attempt) {
				mu.Lock()
				report.Attempts = append(report.Attempts, a)
				mu.Unlock()
				if s.Observe != nil {
					observing <- struct{}{}
					defer func() { <-observing }()
					s.Observe(a)
				}
			})
			mu.Lock()
			defer mu.Unlock()
			if ok {
				report.Delivered = append(report.Delivered, d.ID())
			} else {
				report.Lost = append(report.Lost, d.ID())
			}
		})
	}
	wg.Wait()
	return report, ctx.Err()
}

// deliver makes attempts until one is acknowledged.
func (s *Sender) deliver(ctx context.Context, d *Delivery, note func(Attempt)) bool {
	start := time.Now()
	wait := cmp.Or(s.FirstRetry, 5*time.Second)
	for number := 1; ; number++ {
		if s.attempt(ctx, d, number, note) {
			return true
		}
		// Half of the wait is random, so that a receiver that comes back is
		// not overwhelmed by all deliveries at the same time.
		pause := wait/2 + time.Duration(s.chance()*float64(wait/2))
		wait = min(2*wait, cmp.Or(s.MaxRetry, time.Hour))
		if time.Since(start)+pause > cmp.Or(s.GiveUp, 24*time.Hour) {
			return false
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

// attempt sends the delivery once, or twice at the same time, and reports
// whether it was acknowledged.
func (s *Sender) attempt(ctx context.Context, d *Delivery, number int, note func(Attempt)) bool {
	d = d.Clone()
	if len(s.Signers) > 0 && !d.faulty {
		d.Sign(time.Now(), s.Signers...)
	}
	copies := 1
	if s.chance() < s.Duplicates {
		copies = 2
	}
	results := make([]Attempt, copies)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			a := Attempt{ID: d.ID(), Number: number, Duplicate: i > 0, At: time.Now()}
			a.Status, a.Err = s.send(ctx, d)
			a.Elapsed = time.Since(a.At)
			results[i] = a
			note(a)
		})
	}
	wg.Wait()
	for _, a := range results {
		if a.Acknowledged() {
			return true
		}
	}
	return false
}

// target returns the URL for requests to Handler.
func (s *Sender) target() (string, error) {
	u, err := url.ParseRequestURI(cmp.Or(s.URL, "/"))
	if err != nil {
		return "", err
	}
	u.Path = cmp.Or(u.Path, "/")
	return u.String(), nil
}

// send sends one request and returns the status of the response.
func (s *Sender) send(ctx context.Context, d *Delivery) (status int, err error) {
	timeout := cmp.Or(s.Timeout, 10*time.Second)
	if s.chance() < s.HangUps {
		timeout = time.Duration(s.chance() * float64(timeout) / 100)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.Handler != nil {
		target, err := s.target()
		if err != nil {
			return 0, err
		}
		return serve(s.Handler, d.Request(target).WithContext(ctx))
	}
	req, err := d.ClientRequest(s.URL)
	if err != nil {
		return 0, err
	}
	client := *cmp.Or(s.Client, http.DefaultClient)
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	// What is read to its end leaves a connection that the client can use again.
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if redirect := redirected(resp.StatusCode, resp.Header); redirect != nil {
		return resp.StatusCode, redirect
	}
	return resp.StatusCode, err
}

// redirected returns an error if the response is a redirect.
func redirected(status int, header http.Header) error {
	if status < 300 || status > 399 {
		return nil
	}
	return fmt.Errorf("webhooktest: the receiver redirected the delivery (%d) to %q: senders do not follow redirects; deliver to the final URL",
		status, header.Get("Location"))
}

// serve calls the handler as a server does: the handler continues after the
// sender has left, and a panic closes the connection.
func serve(h http.Handler, r *http.Request) (status int, err error) {
	type response struct {
		status int
		err    error
	}
	responses := make(chan response, 1)
	go func() {
		w := httptest.NewRecorder()
		got := response{err: errors.New("webhooktest: the receiver closed the connection")}
		defer func() {
			if p := recover(); p != nil {
				got.err = fmt.Errorf("%w: panic: %v", got.err, p)
			}
			responses <- got
		}()
		h.ServeHTTP(w, r)
		got = response{w.Code, redirected(w.Code, w.Header())}
	}()
	select {
	case got := <-responses:
		return got.status, got.err
	case <-r.Context().Done():
		return 0, r.Context().Err()
	}
}

// chance returns a random number from 0 to 1.
func (s *Sender) chance() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Rand == nil {
		return rand.Float64()
	}
	return s.Rand.Float64()
}

// order returns the order in which to send n deliveries.
func (s *Sender) order(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if s.Reorder {
		for i := n - 1; i > 0; i-- {
			j := int(s.chance() * float64(i+1))
			all[i], all[j] = all[j], all[i]
		}
	}
	return all
}
