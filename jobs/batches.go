package jobs

import (
	"cmp"
	"context"
	"iter"
	"time"

	"github.com/geminihook/geminihook"
	"google.golang.org/genai"
)

// pageSize is how many batches are listed by one request. A batch can have its
// results in it, which are megabytes.
const pageSize = 20

// Batches returns a [CatchUp.Waiting] for programs that keep no table: all batches
// of the client's project that are younger than Endpoint.Keep. The store may have
// forgotten the older ones, which would then be handled a second time; with a
// MemoryStore, that happens to all of them when the process starts again. Each
// sweep asks about each of these batches, even those that were handled long ago, so
// keep a table instead if the project has more than a few hundred batches per week.
//
// The requests for the list count toward PerSecond. Interactions and videos cannot be
// listed: the program must remember their ids.
func Batches(client *genai.Client) func(ctx context.Context) iter.Seq2[Job, error] {
	return func(ctx context.Context) iter.Seq2[Job, error] {
		return func(yield func(Job, error) bool) {
			list := lister{client: client, keep: geminihook.DefaultKeep, now: time.Now}
			if c, ok := ctx.Value(sessionKey{}).(*CatchUp); ok {
				list.keep, list.gate = cmp.Or(c.Endpoint.Keep, list.keep), c.gate
				if c.Now != nil {
					list.now = c.Now
				}
				if client == c.Client {
					list.client = c.client
				}
			}
			if err := list.each(ctx, func(job Job) bool { return yield(job, nil) }); err != nil {
				yield(Job{}, err)
			}
		}
	}
}

// lister lists the batches of a project.
type lister struct {
	client *genai.Client
	gate   *gate // nil outside of a sweep
	keep   time.Duration
	now    func() time.Time
}

func (l *lister) each(ctx context.Context, yield func(Job) bool) error {
	for token := ""; ; {
		page, err := l.page(ctx, token)
		if err != nil {
			return err
		}
		for _, b := range page.Items {
			if !b.CreateTime.IsZero() && l.now().Sub(b.CreateTime) >= l.keep {
				continue
			}
			if !yield(Job{ID: b.Name, Kind: KindBatch, Created: b.CreateTime}) {
				return nil
			}
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
}

// page makes the request for one page. A list whose context bounds all of its
// pages would have to guess how many there are.
func (l *lister) page(ctx context.Context, token string) (page genai.Page[genai.BatchJob], err error) {
	request := func(ctx context.Context) (err error) {
		defer func() { err = safe(err, recover()) }()
		page, err = l.client.Batches.List(ctx, &genai.ListBatchJobsConfig{PageSize: pageSize, PageToken: token, HTTPOptions: oneAttempt()})
		return err
	}
	if l.gate != nil {
		err = l.gate.do(ctx, request)
	} else {
		ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
		err = request(ctx)
	}
	if err != nil {
		err = requestFailed("batches", err)
	}
	return page, err
}
