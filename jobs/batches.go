package jobs

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"google.golang.org/genai"
)

// pageSize is how many batches are listed by one request. A batch can have its
// results in it, which can be megabytes.
const pageSize = 20

// maxPages bounds the pages of one list.
const maxPages = 1000

// Batches returns a [CatchUp.Waiting] for programs that keep no table: all batches
// of the client's project, except for those that ended longer ago than nine tenths
// of Endpoint.Keep. The store may have forgotten these, or may do so before their
// turn, and they would be handled a second time; with a MemoryStore, that happens to
// all batches when the process starts again. Each sweep asks about each of these
// batches, even those that were handled long ago, so keep a table instead if the
// project has more than a few hundred batches per week.
//
// The requests for the list count toward PerSecond. A list that leads to the same
// page again, or that has more than 20,000 batches, ends with an error. Interactions
// and videos cannot be listed: the program must remember their ids.
func Batches(client *genai.Client) func(ctx context.Context) iter.Seq2[Job, error] {
	return func(ctx context.Context) iter.Seq2[Job, error] {
		return func(yield func(Job, error) bool) {
			list, err := newLister(ctx, client)
			if err != nil {
				yield(Job{}, err)
				return
			}
			if err := list.each(ctx, func(job Job) bool { return yield(job, nil) }); err != nil {
				yield(Job{}, err)
			}
		}
	}
}

// lister lists the batches of a project.
type lister struct {
	client *apiClient
	gate   *gate // nil outside of a sweep
	keep   time.Duration
	now    func() time.Time
}

// newLister returns a lister with the settings of the sweep that the context has, if
// any.
func newLister(ctx context.Context, client *genai.Client) (*lister, error) {
	api, err := newAPIClient(client)
	if err != nil {
		return nil, fmt.Errorf("jobs: batches: %w", err)
	}
	l := &lister{client: api, keep: 7 * 24 * time.Hour, now: time.Now}
	if c, ok := ctx.Value(sessionKey{}).(*CatchUp); ok {
		l.keep, l.gate = cmp.Or(c.Endpoint.Keep, l.keep), c.gate
		if c.Now != nil {
			l.now = c.Now
		}
	}
	return l, nil
}

func (l *lister) each(ctx context.Context, yield func(Job) bool) error {
	seen := map[string]bool{} // the tokens of the pages
	for token := ""; len(seen) < maxPages; {
		page, err := l.page(ctx, token)
		if err != nil {
			return err
		}
		for _, b := range page.Items {
			if l.forgotten(b) {
				continue
			}
			if !yield(Job{ID: b.Name, Kind: KindBatch, Created: b.CreateTime}) {
				return nil
			}
		}
		token = page.NextPageToken
		if token == "" {
			return nil
		}
		if seen[token] {
			const again = "jobs: batches: after %d pages, the list leads to the same page again"
			return fmt.Errorf(again, len(seen)+1)
		}
		seen[token] = true
	}
	return fmt.Errorf("jobs: batches: the list has more than %d pages of up to %d batches: keep a table instead",
		maxPages, pageSize)
}

// forgotten reports whether a batch ended so long ago that the store may not know
// it for long enough. A batch that runs for longer than that has yet to be handled.
func (l *lister) forgotten(b *genai.BatchJob) bool {
	if s, err := batchState(b.Name, b); err != nil || s.phase != ended {
		return false
	}
	at := cmp.Or(b.EndTime, b.CreateTime)
	return !at.IsZero() && l.now().Sub(at) >= l.keep-l.keep/10
}

// page makes the request for one page. Each page has its own timeout, because nobody
// knows how many pages there are.
func (l *lister) page(
	ctx context.Context, token string,
) (page genai.Page[genai.BatchJob], err error) {
	request := func(ctx context.Context) (err error) {
		defer func() { err = safe(err, recover()) }()
		page, err = l.client.sdk.Batches.List(ctx, &genai.ListBatchJobsConfig{
			PageSize: pageSize, PageToken: token, HTTPOptions: oneAttempt(),
		})
		return err
	}
	if l.gate != nil {
		err = l.gate.do(ctx, request)
	} else {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		err = request(ctx)
	}
	if err != nil {
		err = requestFailed(l.client.config.APIKey, "batches", err)
	}
	return page, err
}
