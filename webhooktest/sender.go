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
	"sync"
	"time"
)

// Sender delivers as Google does: at least once, again until the answer is 2xx,
// each attempt with the same webhook-id and a fresh timestamp and signature,
// after a wait that doubles, for 24 hours. Its clock is the time package's, so
// that in a testing/synctest bubble, with a Handler, a day takes no time.
//
// Its fields other than where to deliver may stay zero. Do not change them
// while it delivers.
type Sender struct {
	// URL is where to deliver over HTTP with Client; nil means
	// http.DefaultClient.
	URL    string
	Client *http.Client
	// Handler, if it is not nil, is delivered to in process in place of URL. A
	// handler that panics is a receiver that hangs up.
	Handler http.Handler

	// Signers sign each attempt, one entry each. None means that deliveries
	// are sent as they are, again and again.
	Signers []Signer

	Timeout    time.Duration // of an attempt; zero means 10 seconds
	FirstRetry time.Duration // the wait after the first attempt; zero means 5 seconds
	MaxRetry   time.Duration // the longest wait; zero means 1 hour
	GiveUp     time.Duration // no attempt starts later; zero means 24 hours, negative means one attempt
	AtOnce     int           // deliveries under way at a time; zero means 16

	Duplicates float64 // the part of the attempts that is sent twice, at once
	HangUps    float64 // the part in which the sender does not wait for the answer
	Reorder    bool    // deliveries go out in random order

	// Rand is the source of chance; nil means one of the Sender's own, with a
	// random seed.
	Rand *rand.Rand
	// Observe is called after each attempt, one call at a time; nil means
	// none.
	Observe func(Attempt)

	mu sync.Mutex // for Rand and Observe
}

// Attempt is one try to deliver.
type Attempt struct {
	ID        string // webhook-id
	Number    int    // 1 is the first
	Duplicate bool   // the second copy of the same attempt
	At        time.Time
	Elapsed   time.Duration
	Status    int   // zero if there was no answer
	Err       error // why there was none
}

// Acknowledged says whether the answer was 2xx.
func (a Attempt) Acknowledged() bool { return a.Status >= 200 && a.Status <= 299 }

// Report is what became of the deliveries of one call of Deliver.
type Report struct {
	Attempts  []Attempt // in the order in which they ended
	Delivered []string  // ids that were acknowledged
	Lost      []string  // ids that were not, before GiveUp or the context's end
}

// Deliver delivers until each delivery is acknowledged or given up. The error
// is the context's, or says that there is nowhere to deliver to; the report is
// good either way.
func (s *Sender) Deliver(ctx context.Context, deliveries ...*Delivery) (Report, error) {
	if s.Handler == nil && s.URL == "" {
		return Report{}, errors.New("webhooktest: Sender has neither URL nor Handler")
	}
	var report Report
	var mu sync.Mutex // for report
	var wg sync.WaitGroup
	slots := make(chan struct{}, cmp.Or(s.AtOnce, 16))
	for _, i := range s.order(len(deliveries)) {
		d := deliveries[i]
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ok := s.deliver(ctx, d, func(a Attempt) {
				mu.Lock()
				defer mu.Unlock()
				report.Attempts = append(report.Attempts, a)
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
		// Half of the wait is chance, so that receivers that were down are not
		// overrun by all at once.
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

// attempt sends the delivery once, or twice at once.
func (s *Sender) attempt(ctx context.Context, d *Delivery, number int, note func(Attempt)) bool {
	d = d.Clone()
	if len(s.Signers) > 0 {
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
			if s.Observe != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.Observe(a)
			}
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

func (s *Sender) send(ctx context.Context, d *Delivery) (status int, err error) {
	timeout := cmp.Or(s.Timeout, 10*time.Second)
	if s.chance() < s.HangUps {
		timeout = time.Duration(s.chance() * float64(timeout) / 100)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.Handler != nil {
		return serve(s.Handler, d.Request("/").WithContext(ctx))
	}
	req, err := d.ClientRequest(s.URL)
	if err != nil {
		return 0, err
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	return resp.StatusCode, err
}

// serve calls the handler as a server would: it goes on when the sender has
// left, and its panic ends the connection.
func serve(h http.Handler, r *http.Request) (status int, err error) {
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		w := httptest.NewRecorder()
		a := answer{err: errors.New("webhooktest: the receiver hung up")}
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("webhooktest: the receiver hung up: panic: %v", p)
			}
			answers <- a
		}()
		h.ServeHTTP(w, r)
		a = answer{status: w.Code}
	}()
	select {
	case a := <-answers:
		return a.status, a.err
	case <-r.Context().Done():
		return 0, r.Context().Err()
	}
}

// chance is a number from 0 to 1.
func (s *Sender) chance() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Rand == nil {
		return rand.Float64()
	}
	return s.Rand.Float64()
}

// order is that in which n deliveries go out.
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
