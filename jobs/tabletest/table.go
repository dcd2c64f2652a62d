package tabletest

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const operation = "models/veo-3.1/operations/op1"

// testAdd tests that a task has one row, and a second attempt leaves the transaction usable.
func testAdd(t *testing.T, open opener) {
	w := open.newWorld(t)
	ctx, table := t.Context(), w.table
	tx, commit, _ := w.begin(t)
	require.NoError(t, table.Add(ctx, tx, "a", jobs.KindBatch))
	require.ErrorIs(t, table.Add(ctx, tx, "a", jobs.KindVideo), jobs.ErrTaskExists)
	require.NoError(t, table.Add(ctx, tx, "A", jobs.KindBatch), "another task")
	require.NoError(t, table.Add(ctx, tx, "a ", jobs.KindBatch), "another task")
	require.NoError(t, table.Add(ctx, tx, "ä 漢 😀", jobs.KindBatch))
	commit()
	tx, _, rollback := w.begin(t)
	require.NoError(t, table.Remove(ctx, tx, "nothing"))
	require.NoError(t, table.Add(ctx, tx, "b", jobs.KindBatch))
	rollback()
	require.NoError(t, table.Add(ctx, table.DB, "b", jobs.KindBatch))
	require.ErrorIs(t, table.Add(ctx, table.DB, "b", jobs.KindBatch), jobs.ErrTaskExists)
	for _, task := range []string{"", strings.Repeat("x", 256), "\xff", "a\x00"} {
		require.ErrorContains(t, table.Add(ctx, table.DB, task, jobs.KindBatch), "1 to 255 bytes")
	}
	require.NoError(t, table.Add(ctx, table.DB, strings.Repeat("x", 255), jobs.KindBatch))
	require.ErrorContains(t, table.Add(ctx, table.DB, "c", "picture"), "not a kind")
	require.NoError(t, table.Remove(ctx, table.DB, "b "))
	require.ErrorIs(t, table.Add(ctx, table.DB, "b", jobs.KindBatch), jobs.ErrTaskExists)
	require.NoError(t, table.Remove(ctx, table.DB, "b"))
	require.NoError(t, table.Remove(ctx, table.DB, "b"))
	require.NoError(t, table.Add(ctx, table.DB, "b", jobs.KindBatch))
}

// testAddAtTheSameTime tests that of several processes that start a task, one has it.
func testAddAtTheSameTime(t *testing.T, open opener) {
	w := open.newWorld(t)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() { errs[i] = w.table.Add(t.Context(), w.table.DB, "a", jobs.KindBatch) })
	}
	all.Wait()
	added := 0
	for _, err := range errs {
		if err == nil {
			added++
			continue
		}
		require.ErrorIs(t, err, jobs.ErrTaskExists)
	}
	assert.Equal(t, 1, added)
}

// testCreated tests that a task has one job, and a job has one task.
func testCreated(t *testing.T, open opener) {
	w := open.newWorld(t)
	ctx, table := t.Context(), w.table
	for task, kind := range map[string]jobs.Kind{
		"a": jobs.KindBatch, "b": jobs.KindInteraction, "c": jobs.KindVideo, "d": jobs.KindBatch,
	} {
		require.NoError(t, table.Add(ctx, table.DB, task, kind))
	}
	assert.Empty(t, w.waiting(t), "no id yet")
	tx, commit, _ := w.begin(t)
	require.NoError(t, table.Created(ctx, tx, "a", "batches/abc"))
	require.NoError(t, table.Created(ctx, tx, "a", "batches/abc"), "repeated")
	commit()
	require.ErrorIs(t, table.Created(ctx, table.DB, "a", "batches/def"), jobs.ErrJobExists)
	require.NoError(t, table.Created(ctx, table.DB, "b", "v1_Abc.."))
	require.ErrorContains(t, table.Created(ctx, table.DB, "c", "op1"), "does not name its model")
	require.ErrorContains(t, table.Created(ctx, table.DB, "c", ""), "not the id")
	require.NoError(t, table.Created(ctx, table.DB, "c", operation))
	require.ErrorContains(t, table.Created(ctx, table.DB, "e", "batches/abc"), "no task")
	require.Error(t, table.Created(ctx, table.DB, "d", "abc"), "the job of a")
	require.NoError(t, table.Created(ctx, table.DB, "d", "batches/ABC"), "another job")
	assert.ElementsMatch(t, []string{"batches/abc", "v1_Abc..", operation, "batches/ABC"},
		w.waiting(t))
}

// testEnd tests that whatever form the id in an event has, its job ends once, with the first
// event that ends it.
func testEnd(t *testing.T, open opener) {
	w := open.newWorld(t)
	w.start(t, "batch", jobs.KindBatch, "batches/abc")
	w.start(t, "interaction", jobs.KindInteraction, "v1_Abc..")
	w.start(t, "video", jobs.KindVideo, operation)
	for _, tt := range []struct {
		typ   geminihook.EventType
		id    string
		task  string
		ended bool
	}{
		{geminihook.EventInteractionRequiresAction, "v1_Abc..", "interaction", false},
		{"interaction.of_tomorrow", "v1_Abc..", "interaction", false},
		{geminihook.EventInteractionCompleted, "interactions/v1_Abc..", "interaction", true},
		{geminihook.EventInteractionCompleted, "v1_Abc..", "interaction", false},
		{geminihook.EventInteractionIncomplete, "v1_Abc..", "interaction", false},
		{geminihook.EventBatchSucceeded, "abc", "batch", true},
		{geminihook.EventBatchSucceeded, "batches/abc", "batch", false},
		{geminihook.EventVideoGenerated, "op1", "video", true},
		{geminihook.EventVideoFailed, operation, "video", false},
	} {
		tx, commit, _ := w.begin(t)
		task, ended, err := w.table.End(t.Context(), tx, event(t, tt.typ, tt.id))
		require.NoError(t, err)
		commit()
		assert.Equal(t, tt.task, task, "%s %s", tt.typ, tt.id)
		assert.Equal(t, tt.ended, ended, "%s %s", tt.typ, tt.id)
	}
	assert.Empty(t, w.waiting(t))
	for _, id := range []string{"v1_abc..", "def", "", "a\x00b", "a b", strings.Repeat("x", 2000)} {
		_, _, err := w.table.End(t.Context(), w.table.DB,
			event(t, geminihook.EventBatchSucceeded, id))
		require.ErrorContains(t, err, "has no job")
		require.NotErrorIs(t, err, geminihook.ErrPermanent)
	}
}

// testEndRolledBack tests that a job whose results were not committed has not ended.
func testEndRolledBack(t *testing.T, open opener) {
	w := open.newWorld(t)
	w.start(t, "a", jobs.KindBatch, "batches/abc")
	ev := event(t, geminihook.EventBatchSucceeded, "batches/abc")
	for range 2 {
		tx, _, rollback := w.begin(t)
		_, ended, err := w.table.End(t.Context(), tx, ev)
		require.NoError(t, err)
		assert.True(t, ended)
		rollback()
		assert.Equal(t, []string{"batches/abc"}, w.waiting(t))
	}
}

// testMigrate tests that processes that start at the same time create the table once.
func testMigrate(t *testing.T, open opener) {
	w := open.newWorld(t)
	_, err := w.table.DB.Exec(t.Context(), "DROP TABLE geminihook_jobs", nil)
	require.NoError(t, err)
	require.ErrorContains(t, w.table.Remove(t.Context(), w.table.DB, "a"), "geminihook_jobs")
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() { errs[i] = w.table.Migrate(t.Context()) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	w.start(t, "a", jobs.KindBatch, "abc")
}
