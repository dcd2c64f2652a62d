package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/geminihook/geminihook"
)

// Table is a table of the jobs that the program waits for, geminihook_jobs in the
// program's own SQL database. It remembers which of the program's tasks each job is
// for, so that the function finds the task whoever has reported the end: a webhook's
// event has user_metadata, which the API does not return to [CatchUp].
//
// Add a task before its job is created, and tell the table the job's id after that:
//
//	if err := table.Add(ctx, sqlstore.NewQuerier(tx), "order-1042", jobs.KindBatch); err != nil {
//		return err
//	}
//	// Commit tx. Then create the job.
//	err := table.Created(ctx, table.DB, "order-1042", batch.Name)
//
// Then let the endpoint, CatchUp and the function ask it:
//
//	endpoint.Authorize = table.Authorize
//	catchUp.Waiting = table.Waiting
//	...
//	task, ended, err := table.End(ctx, sqlstore.NewQuerier(tx), ev)
//
// If the process dies on the way, [Table.Stale] has the task.
//
// Dialect and DB must be set. The zero value of every other field means its
// documented default. [Table.Migrate] creates the table, and fails if a field is
// invalid. Do not change a Table that is in use.
type Table struct {
	// Dialect is the SQL of the database.
	Dialect Dialect

	// DB executes statements on the database, outside of any transaction: not on a
	// replica, and at an isolation level at which it sees what others have committed.
	DB Querier

	// Late is the age from which on Stale reports a job that has not ended. Zero
	// means 24 hours.
	Late time.Duration

	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

var (
	// ErrTaskExists means that a task has a row in the [Table] already.
	ErrTaskExists = errors.New("jobs: the table has the task already")
	// ErrJobExists means that a task has another job in the [Table].
	ErrJobExists = errors.New("jobs: the task has another job")
)

// creation is how long it may take at most until the id of a job that was added is
// in the table.
const creation = 5 * time.Minute

// maxTask bounds the name of a task, in bytes.
const maxTask = 255

// Add adds a row for a job that the program is about to create, in the caller's
// transaction. Task is the program's own name for it, at most 255 bytes of valid
// UTF-8. Commit the transaction before you create the job. If the job's event arrives
// before its id is in the table, [Table.Authorize] then knows that it may be about
// this job.
//
// If the task has a row already, the error wraps [ErrTaskExists], and the caller's
// transaction can go on.
func (t *Table) Add(ctx context.Context, q Querier, task string, kind Kind) error {
	db, err := t.on(q)
	if err != nil {
		return err
	}
	valid := utf8.ValidString(task) && !strings.Contains(task, "\x00")
	if task == "" || len(task) > maxTask || !valid {
		return fmt.Errorf("jobs: a task must be 1 to %d bytes of UTF-8 without a NUL", maxTask)
	}
	if kind != KindBatch && kind != KindInteraction && kind != KindVideo {
		return fmt.Errorf("jobs: %q is not a kind of job", kind)
	}
	insert := sqlAdd
	if t.Dialect == MySQL {
		insert = sqlAddMySQL
	}
	inserted, err := db.exec(ctx, insert, task, string(kind), t.now().UnixMicro())
	exists := err == nil && inserted == 0
	if err != nil && t.Dialect == MySQL {
		row, rowErr := db.row(ctx, sqlRowMySQL, task)
		exists = rowErr == nil && row.found
	}
	if exists {
		return fmt.Errorf("%w: %q", ErrTaskExists, task)
	}
	return err
}

// Created tells the table the id of the job that was created for a task: the Name of a
// batch or of a video operation, or the ID of an interaction. Repeating it changes
// nothing. It fails if the task has no row. If it has another job, so that two were
// created for it, the error wraps [ErrJobExists].
func (t *Table) Created(ctx context.Context, q Querier, task, id string) error {
	db, err := t.on(q)
	if err != nil {
		return err
	}
	row, err := db.row(ctx, sqlRow, task)
	switch {
	case err != nil:
		return err
	case !row.found:
		return fmt.Errorf("jobs: the table has no task %q", task)
	case row.id != "" && row.id == id:
		return nil
	case row.id != "":
		return fmt.Errorf("%w: %q has %q, not %q", ErrJobExists, task, row.id, id)
	}
	if _, err := nameOf(row.kind, id); err != nil {
		return err
	}
	n, err := db.exec(ctx, sqlCreated, id, lastSegment(id), task)
	if err != nil || n > 0 {
		return err
	}
	// Another call was faster. A transaction in MySQL sees that only with a lock.
	latest := sqlRow
	if t.Dialect == MySQL {
		latest = sqlRowMySQL
	}
	if row, err = db.row(ctx, latest, task); err == nil && row.id != id {
		err = fmt.Errorf("%w: %q has %q, not %q", ErrJobExists, task, row.id, id)
	}
	return err
}

// tableRow is the row of a task.
type tableRow struct {
	found bool
	kind  Kind
	id    string // empty until it is known
}

func (s statements) row(ctx context.Context, query, task string) (tableRow, error) {
	var row tableRow
	var kind string
	found, err := s.one(ctx, query, []any{task}, &kind, &row.id)
	row.found, row.kind = found, Kind(kind)
	return row, err
}

// End returns the task of the job that an event is about. If the event ends the job
// (see [geminihook.Event.EndsJob]), End marks the job as ended, and ended is true. Call
// it in the transaction in which the function writes its results: that of a
// [geminihook.Transactor], or the function's own.
//
// Ended is false for an event after which the job goes on, such as
// interaction.requires_action, and if the job has ended before. The function then
// writes no results, so that a job has one even if a run is repeated, or if a webhook
// and the API disagree about how it ended.
//
// End fails if the table does not have the job. The error is not Permanent, because
// the event may come before the id.
func (t *Table) End(
	ctx context.Context, q Querier, ev *geminihook.Event,
) (task string, ended bool, err error) {
	db, err := t.on(q)
	if err != nil {
		return "", false, err
	}
	segment := lastSegment(ev.JobID())
	if !validSegment(segment) {
		return "", false, unknownJob(ev)
	}
	if ev.EndsJob() {
		n, err := db.exec(ctx, sqlEnd, t.now().UnixMicro(), string(ev.Type), segment)
		if err != nil {
			return "", false, err
		}
		ended = n > 0
	}
	found, err := db.one(ctx, sqlTask, []any{segment}, &task)
	if err == nil && !found {
		err = unknownJob(ev)
	}
	if err != nil {
		return "", false, err
	}
	return task, ended, nil
}

func unknownJob(ev *geminihook.Event) error {
	return fmt.Errorf("jobs: the table has no job %q", firstWords(ev.JobID()))
}

// Remove removes the row of a task, if it has one: because its job could not be
// created, or because the program no longer waits for it. The task can then be added
// again.
func (t *Table) Remove(ctx context.Context, q Querier, task string) error {
	db, err := t.on(q)
	if err != nil {
		return err
	}
	_, err = db.exec(ctx, sqlRemove, task)
	return err
}

func (t *Table) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}
