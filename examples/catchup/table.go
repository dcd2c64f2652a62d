package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"text/tabwriter"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/sqlstore"
)

// table is the program's own database. A job is waiting until it has a result.
type table struct {
	db *sql.DB
}

func (t *table) create(ctx context.Context) error {
	_, err := t.db.ExecContext(ctx, `
CREATE TABLE IF NOT EXISTS jobs (
	task    TEXT PRIMARY KEY, -- the program's own name for the job
	id      TEXT UNIQUE,      -- the API's name for the job
	kind    TEXT NOT NULL,
	created INTEGER NOT NULL, -- in Unix seconds
	ended   INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS results (
	job      TEXT NOT NULL,
	event    TEXT NOT NULL,
	reporter TEXT NOT NULL,
	text     TEXT NOT NULL
);`)
	return err
}

// start creates a job and writes it into the table in one transaction, so that a
// job that was created is waited for. If the process dies in between, the API has a
// job that the table does not know, and the program creates another one for the
// task.
func (t *table) start(ctx context.Context, task string, kind jobs.Kind,
	create func(context.Context) (id string, err error),
) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, "INSERT INTO jobs (task, kind, created) VALUES (?, ?, ?)",
		task, kind, time.Now().Unix())
	if err != nil {
		return err
	}
	id, err := create(ctx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE jobs SET id = ? WHERE task = ?", id, task)
	if err != nil {
		return err
	}
	return tx.Commit()
}

// waiting is the CatchUp.Waiting. It reads page by page and holds no connection
// while the jobs of a page are handled.
func (t *table) waiting(ctx context.Context) iter.Seq2[jobs.Job, error] {
	return func(yield func(jobs.Job, error) bool) {
		last := ""
		for {
			page, err := t.page(ctx, last)
			if err != nil {
				yield(jobs.Job{}, err)
				return
			}
			for _, job := range page {
				last = job.ID
				if !yield(job, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

func (t *table) page(ctx context.Context, after string) (page []jobs.Job, err error) {
	rows, err := t.db.QueryContext(ctx, "SELECT id, kind, created FROM jobs WHERE ended = 0 AND id > ? ORDER BY id LIMIT 100",
		after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var job jobs.Job
		var created int64
		if err := rows.Scan(&job.ID, &job.Kind, &created); err != nil {
			return nil, err
		}
		job.Created = time.Unix(created, 0)
		page = append(page, job)
	}
	return page, rows.Err()
}

// finish writes a result in the transaction of the event's mark. The event of a
// job that the table does not know is an error, so that it comes again: its row may
// not be committed yet.
func (t *table) finish(ctx context.Context, ev *geminihook.Event, text string) error {
	tx, err := sqlstore.Tx(ctx)
	if err != nil {
		return err
	}
	done, err := tx.ExecContext(ctx, "UPDATE jobs SET ended = 1 WHERE id = ?", ev.JobID())
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("no job %q", ev.JobID()))
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO results VALUES (?, ?, ?, ?)", ev.JobID(), ev.Type,
		ev.Proof.Scheme, text)
	return err
}

// left returns how many jobs have no result.
func (t *table) left(ctx context.Context) (n int, err error) {
	return n, t.db.QueryRowContext(ctx, "SELECT count(*) FROM jobs WHERE ended = 0").Scan(&n)
}

// print prints who reported how many ends of which type, and whether each job has
// one result.
func (t *table) print(ctx context.Context, out io.Writer) error {
	rows, err := t.db.QueryContext(ctx, `SELECT event, sum(reporter <> 'api'), sum(reporter = 'api'), count(*)
FROM results GROUP BY event ORDER BY event`)
	if err != nil {
		return err
	}
	defer rows.Close()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "event\tby webhook\tby sweep\tresults\t")
	for rows.Next() {
		var event string
		var webhook, api, all int
		if err := rows.Scan(&event, &webhook, &api, &all); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t\n", event, webhook, api, all)
	}
	if err := errors.Join(rows.Err(), w.Flush()); err != nil {
		return err
	}
	var all, results, distinct int
	const counts = "SELECT (SELECT count(*) FROM jobs), count(*), count(DISTINCT job) FROM results"
	err = t.db.QueryRowContext(ctx, counts).Scan(&all, &results, &distinct)
	if err != nil {
		return err
	}
	if results != all || distinct != all {
		return fmt.Errorf("%d jobs, but %d results of %d of them", all, results, distinct)
	}
	fmt.Fprintf(out, "%d jobs, %d results, each once\n", all, results)
	return nil
}
