package chaos_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/geminihook/geminihook"
	"modernc.org/sqlite"
)

// The environment of a process whose function ends its transaction by SQL.
const (
	endingVariable = "CHAOS_ENDING" // the statements, with a semicolon after each
	fateVariable   = "CHAOS_FATE"   // after how many steps the process is killed
)

// end is the main of a process whose function inserts a row, ends its transaction by
// SQL, and returns nil.
func end(kind string) error {
	steps, err := strconv.ParseInt(os.Getenv(fateVariable), 10, 64)
	if err != nil {
		return err
	}
	f := &fate{}
	f.steps.Store(steps)
	sqlite.RegisterConnectionHook(f.hook)
	s, err := openStoreDialing(context.Background(), kind, os.Getenv(urlVariable), f.dial)
	if err != nil {
		return err
	}
	endpoint, err := newEndpoint(s)
	if err != nil {
		return err
	}
	name, _ := strings.CutSuffix(kind, transactional)
	insert := fmt.Sprintf("INSERT INTO endings VALUES (%s, %s)",
		placeholder(name, 1), placeholder(name, 2))
	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		if err := s.exec(ctx, insert, ev.ID, os.Getenv(nameVariable)); err != nil {
			return err
		}
		for statement := range strings.SplitSeq(os.Getenv(endingVariable), ";") {
			if statement = strings.TrimSpace(statement); statement == "" {
				continue
			}
			if err := s.exec(ctx, statement); err != nil {
				return err
			}
		}
		f.begin()
		return nil
	})
	return serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(doomed{ResponseWriter: w, fate: f}, r)
	}))
}

// fate kills the process with SIGKILL after a number of steps: at once while the
// function runs, or before one of the messages to the server, or before SQLite
// prepares a statement about the transaction, changes a row or commits, or before the
// response.
type fate struct {
	begun atomic.Bool
	steps atomic.Int64
}

// begin is called when the function has ended its transaction.
func (f *fate) begin() {
	f.begun.Store(true)
	f.step()
}

func (f *fate) step() {
	if f.begun.Load() && f.steps.Add(-1) < 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}

func (f *fate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return fatedConn{Conn: conn, fate: f}, err
}

func (f *fate) hook(conn sqlite.ExecQuerierContext, _ string) error {
	authorizer := conn.(sqlite.AuthorizerRegisterer)
	err := authorizer.RegisterAuthorizer(f.authorize)
	hooks := conn.(sqlite.HookRegisterer)
	hooks.RegisterPreUpdateHook(func(sqlite.SQLitePreUpdateData) { f.step() })
	hooks.RegisterCommitHook(func() int32 {
		f.step()
		return 0
	})
	return err
}

func (f *fate) authorize(
	action sqlite.AuthorizerActionCode, _, _, _, _ string,
) sqlite.AuthorizerReturnCode {
	if action == sqlite.AuthSavepoint || action == sqlite.AuthTransaction {
		f.step()
	}
	return sqlite.AuthorizerOK
}

type fatedConn struct {
	net.Conn
	fate *fate
}

func (c fatedConn) Write(b []byte) (int, error) {
	c.fate.step()
	return c.Conn.Write(b)
}

type doomed struct {
	http.ResponseWriter
	fate *fate
}

func (w doomed) WriteHeader(status int) {
	w.fate.step()
	w.ResponseWriter.WriteHeader(status)
}
