package jobs

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"github.com/geminihook/geminihook"
)

// Migrate creates the table and its index unless they exist. It may run at every
// start, in several processes at once. If you use your own migration tool, apply the
// statements in the folder schema.
func (t *Table) Migrate(ctx context.Context) error {
	db, err := t.on(t.DB)
	if err != nil {
		return err
	}
	for _, statement := range t.Dialect.schema() {
		_, err := db.exec(ctx, statement)
		if err != nil {
			// PostgreSQL lets two processes begin, and fails in the one that comes
			// second, after the first has committed.
			_, err = db.exec(ctx, statement)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Authorize accepts events about the jobs in the table. Use it as
// [geminihook.Endpoint.Authorize]: a static webhook reports every job of the project,
// and a dynamic one may be about a stranger's job.
//
// For any other event the error is made by [geminihook.Permanent], so that the event
// is ignored: the response is 200, and nothing is recorded. But if a task was added
// less than 5 minutes ago whose id is not in the table yet, and the event has no time or
// is not older than that, it may be about that task. The error then wraps
// [geminihook.ErrUnavailable]: the response is 503, and the next attempt knows. If it
// takes longer from Add to Created, because a queue is long or the process died, an
// event that comes before the id is ignored, and CatchUp finds the end instead.
//
// If the database fails, or does not respond within 10 seconds, the response is 503,
// too.
func (t *Table) Authorize(ctx context.Context, ev *geminihook.Event) error {
	db, err := t.on(t.DB)
	if err != nil {
		return err
	}
	segment := lastSegment(ev.JobID())
	if !validSegment(segment) {
		return geminihook.Permanent(unknownJob(ev))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	now := t.now()
	var known, creating int64
	since := now.Add(-creation).UnixMicro()
	_, err = db.one(ctx, sqlKnown, []any{segment, since}, &known, &creating)
	switch {
	case err != nil:
		return err
	case known > 0:
		return nil
	case creating > 0 && (ev.Time.IsZero() || now.Sub(ev.Time) < creation):
		return fmt.Errorf("%w: %w, but a task that still waits for the id of its job",
			geminihook.ErrUnavailable, unknownJob(ev))
	}
	return geminihook.Permanent(unknownJob(ev))
}

// Waiting returns the jobs that have an id and have not ended. Use it as
// [CatchUp.Waiting]. It reads the table in pages, and holds no connection while the
// jobs of a page are handled. Each time it begins at a random task, so that sweeps
// that end early get to all jobs in the end.
func (t *Table) Waiting(ctx context.Context) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		db, err := t.on(t.DB)
		if err != nil {
			yield(Job{}, err)
			return
		}
		var count int64
		_, err = db.one(ctx, sqlCount, nil, &count)
		if err != nil {
			yield(Job{}, err)
			return
		}
		if count == 0 {
			return
		}
		w := walk{statements: db, skip: rand.Int64N(count)}
		if w.pages(ctx, yield) {
			w.last, w.before = "", w.first
			w.pages(ctx, yield)
		}
	}
}

// walk reads the waiting jobs in the order of their tasks.
type walk struct {
	statements
	skip   int64  // rows to leave out
	first  string // the first task that was read
	last   string // the last task that was read
	before string // the task at which to end; empty for none
}

// pages yields the jobs from one task to another, and reports whether to go on.
func (w *walk) pages(ctx context.Context, yield func(Job, error) bool) bool {
	for {
		page, err := w.page(ctx)
		if err != nil {
			yield(Job{}, err)
			return false
		}
		for _, job := range page {
			if !yield(job, nil) {
				return false
			}
		}
		if len(page) == 0 {
			return true
		}
	}
}

func (w *walk) page(ctx context.Context) (page []Job, err error) {
	args := []any{w.last, w.before, w.before, w.skip}
	w.skip = 0
	err = w.query(ctx, sqlPage, args, func(scan func(...any) error) error {
		job, err := scanJob(scan)
		if err != nil {
			return err
		}
		w.first, w.last = cmp.Or(w.first, job.Task), job.Task
		page = append(page, job.Job)
		return nil
	})
	return page, err
}

// StaleJob is a job of a [Table] that somebody should look at.
type StaleJob struct {
	// Task is the program's name for the job.
	Task string
	// Job has an empty ID if the table has none. Created is when the task was added.
	Job
}

// Stale returns up to 1,000 jobs for alerts, the oldest first: those that were added
// more than Late ago and have not ended, and those that were added more than 5 minutes
// ago and have no id. The process then died on the way, or the job could not be
// created: find out whether the API has the job, and call Created, or Remove and
// create another one.
func (t *Table) Stale(ctx context.Context) (stale []StaleJob, err error) {
	db, err := t.on(t.DB)
	if err != nil {
		return nil, err
	}
	now := t.now()
	late := now.Add(-cmp.Or(t.Late, 24*time.Hour)).UnixMicro()
	args := []any{late, now.Add(-creation).UnixMicro()}
	err = db.query(ctx, sqlStale, args, func(scan func(...any) error) error {
		job, err := scanJob(scan)
		stale = append(stale, job)
		return err
	})
	return stale, err
}

// scanJob reads a row with the task, the kind, the id and the time of a job.
func scanJob(scan func(...any) error) (StaleJob, error) {
	var job StaleJob
	var kind string
	var added int64
	err := scan(&job.Task, &kind, &job.ID, &added)
	job.Kind, job.Created = Kind(kind), time.UnixMicro(added)
	return job, err
}

// Purge removes up to limit rows of jobs that ended longer than age ago, and returns
// how many it removed. A limit of zero or less means all. Events about these jobs are
// then ignored.
func (t *Table) Purge(ctx context.Context, age time.Duration, limit int) (int, error) {
	db, err := t.on(t.DB)
	if err != nil {
		return 0, err
	}
	purge := sqlPurge
	if t.Dialect == MySQL {
		purge = sqlPurgeMySQL
	}
	if limit <= 0 {
		limit = math.MaxInt32
	}
	n, err := db.exec(ctx, purge, t.now().Add(-age).UnixMicro(), limit)
	return int(n), err
}
