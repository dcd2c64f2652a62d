package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

// A wave has 45 jobs. Nine of them are interactions, which also have an event after
// which they go on.
const (
	jobsPerWave   = 45
	eventsPerWave = jobsPerWave + jobsPerWave/5
)

// wave makes jobs, and returns the events that are delivered now and late. Every
// combination of fates of an interaction's two events is among them.
func (s *sweeps) wave(t *testing.T) (now, delayed []*webhooktest.Delivery) {
	t.Helper()
	const ownFate, actionFate, lateID = 3, 15, 6
	add := func(fate int, d *webhooktest.Delivery) {
		switch fate {
		case 0:
			now = append(now, d)
		case 1:
			delayed = append(delayed, d)
		}
	}
	for i := range jobsPerWave {
		job := s.create(t, i%5 == 0, i%2 == 0, i%lateID == 0)
		if job.Kind == jobs.KindInteraction {
			add(i/actionFate, newEvent("interaction.requires_action", job.ID, shifted(s.clock)))
			add(i%ownFate, newEvent("interaction.completed", job.ID, shifted(s.clock)))
			continue
		}
		add(i%ownFate, newEvent("batch.succeeded", job.ID, shifted(s.clock)))
	}
	// While ids are missing, a young event of another job could be about one of them.
	return append(now, s.foreignEvents(shifted(s.clock).Add(-10*time.Minute))...), delayed
}

// foreignEvents returns events about jobs that the program does not know. Others of
// them get lost, which nobody can tell.
func (s *sweeps) foreignEvents(at time.Time) (events []*webhooktest.Delivery) {
	for range 9 {
		s.foreign++
		id := fmt.Sprintf("foreign%06d", s.foreign)
		events = append(events, newEvent("batch.succeeded", "batches/"+id, at),
			newEvent("interaction.requires_action", "v1_"+id, at))
	}
	return events
}

func newEvent(typ, id string, at time.Time) *webhooktest.Delivery {
	const body = `{"type":%q,"timestamp":%q,"data":{"id":%q}}`
	return webhooktest.NewBody(fmt.Appendf(nil, body, typ, at.Format(time.RFC3339Nano), id))
}

// create adds a task, creates its job, and lets it end. If it is old, sweeps ask about
// it at once, and otherwise after the clock was set forward. If its id is late, the table
// gets the id while events are delivered.
func (s *sweeps) create(t *testing.T, interaction, young, lateID bool) jobs.Job {
	t.Helper()
	task := fmt.Sprintf("task-%06d", len(s.tasks))
	job := jobs.Job{ID: "batches/b" + task, Kind: jobs.KindBatch, Created: shifted(s.clock)}
	if interaction {
		job.ID, job.Kind = "v1_i"+task+"..", jobs.KindInteraction
	}
	if !young {
		job.Created = job.Created.Add(-2 * grace)
	}
	table := &jobs.Table{
		Dialect: s.ledger.table.Dialect,
		DB:      s.ledger.table.DB,
		Now:     func() time.Time { return job.Created },
	}
	require.NoError(t, table.Add(t.Context(), table.DB, task, job.Kind))
	if interaction {
		s.api.Set("interactions/"+job.ID, fakeapi.Interaction(job.ID, "completed", ""))
	} else {
		s.api.Set(job.ID, fakeapi.Batch(job.ID, "BATCH_STATE_SUCCEEDED"))
	}
	created := func() {
		require.NoError(t, table.Created(t.Context(), table.DB, task, job.ID))
		s.statuses.setKnown(job.ID)
	}
	if lateID {
		s.statuses.setUnknown(job.ID)
		s.lateIDs = append(s.lateIDs, created)
	} else {
		created()
	}
	s.tasks = append(s.tasks, task)
	return job
}
