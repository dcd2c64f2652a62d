package tabletest

import (
	"fmt"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fill starts n tasks and returns the ids of their jobs.
func (w *World) fill(t *testing.T, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("batches/b%03d", i)
		w.start(t, fmt.Sprintf("task-%d", i), jobs.KindBatch, id)
		ids = append(ids, id)
	}
	return ids
}

// testWaiting tests that every job is read once, although jobs end while the table is read.
func testWaiting(t *testing.T, open opener) {
	w := open.newWorld(t)
	assert.Empty(t, w.waiting(t))
	ids := w.fill(t, 250)
	require.NoError(t, w.table.Add(t.Context(), w.table.DB, "task-of-tomorrow", jobs.KindBatch))
	first := map[string]bool{}
	for range 10 {
		got := w.waiting(t)
		assert.ElementsMatch(t, ids, got)
		first[got[0]] = true
	}
	assert.Greater(t, len(first), 1, "it begins anywhere")
	read := []string{}
	for job, err := range w.table.Waiting(t.Context()) {
		require.NoError(t, err)
		assert.Equal(t, jobs.KindBatch, job.Kind)
		assert.WithinDuration(t, w.now(), job.Created, time.Hour)
		_, ended, err := w.table.End(t.Context(), w.table.DB,
			event(t, geminihook.EventBatchSucceeded, job.ID))
		require.NoError(t, err)
		assert.True(t, ended)
		read = append(read, job.ID)
	}
	assert.ElementsMatch(t, ids, read)
	assert.Empty(t, w.waiting(t))
}

// testWaitingEndsEarly tests that sweeps that never get to all jobs get to each of them.
func testWaitingEndsEarly(t *testing.T, open opener) {
	w := open.newWorld(t)
	ids := w.fill(t, 120)
	read := map[string]bool{}
	assert.Eventually(t, func() bool {
		n := 0
		for job, err := range w.table.Waiting(t.Context()) {
			require.NoError(t, err)
			read[job.ID] = true
			if n++; n == 20 {
				break
			}
		}
		return len(read) == len(ids)
	}, time.Minute, time.Microsecond)
}

// testWaitingFails tests that a table that cannot be read is not an empty one.
func testWaitingFails(t *testing.T, open opener) {
	w := open.newWorld(t)
	w.fill(t, 1)
	w.close()
	var last error
	for _, err := range w.table.Waiting(t.Context()) {
		last = err
	}
	require.Error(t, last)
	_, err := w.table.Stale(t.Context())
	require.Error(t, err)
}

// testCrash tests that wherever the process dies, Stale has the task, unless the sweep waits for
// its job, or the table has no trace of it and no job was created.
func testCrash(t *testing.T, open opener) {
	for _, tt := range []struct {
		name    string
		steps   int
		waiting []string
		soon    []string // stale after 6 minutes
		late    []string // stale after 25 hours
	}{
		{"before Add is committed", 0, []string{}, []string{}, []string{}},
		{"before the job is created", 1, []string{}, []string{"a"}, []string{"a"}},
		{"before the id is in the table", 2, []string{}, []string{"a"}, []string{"a"}},
		{"before the id is committed", 3, []string{}, []string{"a"}, []string{"a"}},
		{"before the job ends", 4, []string{"batches/abc"}, []string{}, []string{"a"}},
		{"before the end is committed", 5, []string{"batches/abc"}, []string{}, []string{"a"}},
		{"after the end", 6, []string{}, []string{}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := open.newWorld(t)
			w.run(t, tt.steps)
			assert.Equal(t, tt.waiting, w.waiting(t))
			assert.Empty(t, w.stale(t))
			w.setForward(6 * time.Minute)
			assert.Equal(t, tt.soon, w.stale(t))
			w.setForward(25 * time.Hour)
			assert.Equal(t, tt.late, w.stale(t))
			assert.Equal(t, tt.waiting, w.waiting(t))
		})
	}
}

// run is a program that dies after some steps: what it has not committed is rolled back.
func (w *World) run(t *testing.T, steps int) {
	t.Helper()
	tx, commit, rollback := w.begin(t)
	require.NoError(t, w.table.Add(t.Context(), tx, "a", jobs.KindBatch))
	if steps == 0 {
		rollback()
		return
	}
	commit()
	const id = "batches/abc" // created if steps is more than 1, which the table cannot know
	if steps < 3 {
		return
	}
	tx, commit, rollback = w.begin(t)
	require.NoError(t, w.table.Created(t.Context(), tx, "a", id))
	if steps == 3 {
		rollback()
		return
	}
	commit()
	if steps == 4 {
		return
	}
	tx, commit, rollback = w.begin(t)
	_, ended, err := w.table.End(t.Context(), tx, event(t, geminihook.EventBatchSucceeded, id))
	require.NoError(t, err)
	assert.True(t, ended)
	if steps == 5 {
		rollback()
		return
	}
	commit()
}

// testStale tests that the oldest comes first, and Late is the program's.
func testStale(t *testing.T, open opener) {
	w := open.newWorld(t)
	w.table.Late = 2 * time.Hour
	w.start(t, "b", jobs.KindBatch, "batches/abc")
	w.setForward(time.Hour)
	require.NoError(t, w.table.Add(t.Context(), w.table.DB, "a", jobs.KindVideo))
	w.setForward(90 * time.Minute)
	list, err := w.table.Stale(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, "b", list[0].Task)
	assert.Equal(t, "batches/abc", list[0].ID)
	assert.Equal(t, jobs.KindBatch, list[0].Kind)
	assert.WithinDuration(t, w.now().Add(-150*time.Minute), list[0].Created, 10*time.Minute)
	assert.Equal(t, "a", list[1].Task)
	assert.Empty(t, list[1].ID)
	w.table.Late = 3 * time.Hour
	assert.Equal(t, []string{"a"}, w.stale(t))
	require.NoError(t, w.table.Remove(t.Context(), w.table.DB, "a"))
	assert.Empty(t, w.stale(t))
}

// testPurge tests that only jobs that ended long ago go.
func testPurge(t *testing.T, open opener) {
	w := open.newWorld(t)
	ids := w.fill(t, 8)
	for _, id := range ids[:5] {
		_, _, err := w.table.End(t.Context(), w.table.DB,
			event(t, geminihook.EventBatchSucceeded, id))
		require.NoError(t, err)
	}
	w.setForward(30 * 24 * time.Hour)
	_, _, err := w.table.End(t.Context(), w.table.DB,
		event(t, geminihook.EventBatchSucceeded, ids[5]))
	require.NoError(t, err)
	for _, call := range []struct{ limit, want int }{{3, 3}, {0, 2}, {3, 0}} {
		n, err := w.table.Purge(t.Context(), 7*24*time.Hour, call.limit)
		require.NoError(t, err)
		assert.Equal(t, call.want, n, "with the limit %d", call.limit)
	}
	assert.ElementsMatch(t, ids[6:], w.waiting(t))
	task, _, err := w.table.End(t.Context(), w.table.DB,
		event(t, geminihook.EventBatchSucceeded, ids[5]))
	require.NoError(t, err)
	assert.Equal(t, "task-5", task)
}
