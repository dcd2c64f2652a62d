package chaos_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// journal is a file to which all receivers append what happens, one line for each:
// the name of what it is, the event's id, the process, a number of the run, and the
// time.
type journal struct{ file *os.File }

func openJournal(name string) (journal, error) {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	return journal{file}, err
}

func (j journal) append(what, id string, run uint64) error {
	_, err := fmt.Fprintln(j.file, what, id, os.Getpid(), run, time.Now().UnixNano())
	return err
}

// run writes down that a run began and that it came to its end.
func (j journal) run(id string, work func() error) error {
	run := rand.Uint64()
	if err := j.append("begin", id, run); err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	return j.append("end", id, run)
}

// observe writes down whether an event that was processed is known to be marked as
// done.
func (j journal) observe(_ context.Context, o geminihook.Outcome) {
	switch {
	case o.Result != geminihook.Processed:
	case o.Err == nil:
		_ = j.append("marked", o.ID, 0)
	default: // the endpoint could not mark it, and says that it may run again
		_ = j.append("unmarked", o.ID, 0)
	}
}

// run is a run of the function, which came to its end.
type run struct {
	process    int
	begin, end int64 // in nanoseconds
}

// record is what the journal tells of one event.
type record struct {
	begun     []int64 // when runs began, whatever became of them
	completed []run   // in their order
	marked    []int64
	unmarked  int
}

// readJournal returns the records by the id of the event.
func readJournal(t *testing.T, name string) map[string]*record {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	records := map[string]*record{}
	begun := map[uint64]int64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var what, id string
		var process int
		var number uint64
		var at int64
		_, err := fmt.Sscan(lines.Text(), &what, &id, &process, &number, &at)
		require.NoError(t, err)
		r := records[id]
		if r == nil {
			r = &record{}
			records[id] = r
		}
		switch what {
		case "begin":
			begun[number] = at
			r.begun = append(r.begun, at)
		case "end":
			require.Contains(t, begun, number, "an end without a beginning")
			r.completed = append(r.completed, run{process, begun[number], at})
		case "marked":
			r.marked = append(r.marked, at)
		case "unmarked":
			r.unmarked++
		}
	}
	require.NoError(t, lines.Err())
	for _, r := range records {
		slices.SortFunc(r.completed, func(a, b run) int { return cmp.Compare(a.begin, b.begin) })
	}
	return records
}

// check fails the test if the event was lost, if it began again after a process knew
// that it was marked as done, or if two runs were active at once although the earlier
// one took less than half of its lease.
func (r *record) check(t *testing.T, id string) {
	t.Helper()
	require.NotEmpty(t, r.completed, "%s was acknowledged but never ran to its end", id)
	assert.LessOrEqual(t, len(r.marked), 1, "%s was marked by several runs", id)
	for _, marked := range r.marked {
		assert.Less(t, slices.Max(r.begun), marked, "%s ran again after it was marked", id)
	}
	for i := 1; i < len(r.completed); i++ {
		earlier, later := r.completed[i-1], r.completed[i]
		if earlier.end-earlier.begin < int64(lease/2) {
			assert.GreaterOrEqual(t, later.begin, earlier.end, "two runs of %s at once", id)
		}
	}
}

// unexplained returns how many extra runs there were although their processes lived
// and did not say that they could not mark the event.
func (r *record) unexplained(killed map[int]bool) int {
	alive := 0
	for _, run := range r.completed {
		if !killed[run.process] {
			alive++
		}
	}
	return max(0, alive-1-r.unmarked)
}
