package chaos_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endings are statements with which a function ends or restarts its transaction,
// by the kind of store. After the empty one, it only returns nil.
var endings = map[string][]string{
	"postgres transactional":          sqlEndings,
	"sqlstore postgres transactional": sqlEndings,
	"sqlstore mysql transactional":    append(mysqlEndings, sqlEndings...),
	"sqlite transactional": {
		"", "COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN",
		"COMMIT; BEGIN; SAVEPOINT geminihook",
	},
}

var sqlEndings = []string{
	"", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
	"COMMIT; BEGIN", "ROLLBACK; BEGIN", "COMMIT; BEGIN; SAVEPOINT geminihook",
}

var mysqlEndings = []string{"BEGIN", "CREATE TABLE IF NOT EXISTS implicit (n INT)"}

// TestEndings: a function inserts a row, ends its transaction by SQL and returns nil,
// and its process is killed at any moment from then on. The event is never
// acknowledged by that process, and never taken for a duplicate by another one, which
// inserts its own row, once. What the function has committed itself remains.
//
// Without such an ending, there is one row in the end, whichever process inserted it.
func TestEndings(t *testing.T) {
	t.Parallel()
	for kind, all := range endings {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := open(t, kind)
			b.exec(t, "CREATE TABLE endings (id VARCHAR(100), process VARCHAR(10))")
			second := newEnding(t, kind, b, "second", "", 1_000_000)
			second.start(t)
			t.Cleanup(second.kill)
			for _, ending := range all {
				e := &ended{kind: kind, backend: b, ending: ending, second: second}
				e.run(t)
			}
		})
	}
}

// ended is the world around a function that ends its transaction.
type ended struct {
	kind    string
	backend *backend
	ending  string
	second  *receiver // a process that does not
}

// run kills the first process after one step, then after two, and so on, until it
// survives.
func (e *ended) run(t *testing.T) {
	t.Helper()
	const tooMany = 30
	steps := 0
	for ; steps < tooMany; steps++ {
		if !e.runUntil(t, steps) {
			break
		}
	}
	require.Less(t, steps, tooMany, "steps from the end of the function to the response")
	require.Greater(t, steps, 2, "in the function, before the store's end, before the response")
	t.Logf("%s: %q: killed at each of %d moments", e.kind, e.ending, steps)
}

// runUntil reports whether the first process was killed.
func (e *ended) runUntil(t *testing.T, steps int) (killed bool) {
	t.Helper()
	when := fmt.Sprintf("%q and SIGKILL after %d steps", e.ending, steps)
	first := newEnding(t, e.kind, e.backend, "first", e.ending, steps)
	first.start(t)
	exited := make(chan syscall.WaitStatus, 1)
	go func() {
		_ = first.cmd.Wait()
		exited <- first.cmd.ProcessState.Sys().(syscall.WaitStatus)
	}()
	d := webhooktest.New(geminihook.EventBatchSucceeded,
		webhooktest.Static(webhooktest.TestSecret))
	status, killed := deliverUntil(first, d, exited)
	if killed {
		require.Equal(t, syscall.SIGKILL, (<-exited).Signal(), when)
	} else {
		_ = first.cmd.Process.Kill()
		<-exited
		want := http.StatusInternalServerError
		if e.ending == "" {
			want = http.StatusOK
		}
		assert.Equal(t, want, status, when)
	}
	_ = first.in.Close()
	for range 2 { // once more, when it is a duplicate
		require.Eventually(t, func() bool {
			status, err := deliverTo(e.second, d)
			return err == nil && status == http.StatusOK
		}, time.Minute, 5*time.Millisecond, when)
		e.check(t, d.ID(), when)
	}
	return killed
}

// check checks the rows after the second process has acknowledged the event.
func (e *ended) check(t *testing.T, id, when string) {
	t.Helper()
	first, second := e.rows(t, id, "first"), e.rows(t, id, "second")
	if e.ending == "" {
		require.Equal(t, 1, first+second, "%s: rows", when)
		return
	}
	require.Equal(t, 1, second, "%s: rows of the process that acknowledged the event", when)
	committed := 1
	if strings.HasPrefix(e.ending, "ROLLBACK") {
		committed = 0
	}
	require.Equal(t, committed, first, "%s: rows that the function committed itself", when)
}

func (e *ended) rows(t *testing.T, id, process string) (n int) {
	t.Helper()
	name, _ := strings.CutSuffix(e.kind, transactional)
	query := fmt.Sprintf("SELECT count(*) FROM endings WHERE id = %s AND process = %s",
		placeholder(name, 1), placeholder(name, 2))
	require.NoError(t, e.backend.db.QueryRowContext(t.Context(), query, id, process).Scan(&n))
	return n
}

// newEnding returns a process that is killed after so many steps. It inherits its
// listener: with so many processes, some would meet on a port that was free a moment
// ago.
func newEnding(
	t *testing.T, kind string, b *backend, name, ending string, steps int,
) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	env := append(os.Environ(), kindVariable+"="+kind, urlVariable+"="+b.direct,
		endingVariable+"="+ending, fateVariable+"="+strconv.Itoa(steps), inheritsVariable+"=1")
	return &receiver{name: name, addr: listener.Addr().String(), env: env, listener: file}
}

// deliverUntil delivers until there is a response, or the process has exited.
func deliverUntil(
	r *receiver, d *webhooktest.Delivery, exited chan syscall.WaitStatus,
) (status int, killed bool) {
	for {
		status, err := deliverTo(r, d)
		if err == nil {
			return status, false
		}
		select {
		case result := <-exited:
			exited <- result
			return 0, true
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// deliverTo delivers once, and returns an error if there was no response.
func deliverTo(r *receiver, d *webhooktest.Delivery) (status int, err error) {
	request, err := d.ClientRequest("http://" + r.addr)
	if err != nil {
		return 0, err
	}
	request.Close = true // a connection that is used again is a reason to try again
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
