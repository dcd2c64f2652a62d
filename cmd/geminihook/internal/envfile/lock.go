package envfile

import (
	"context"
	"errors"
	"os"
	"time"
)

// errInUse means that another process has the lock.
var errInUse = errors.New("in use")

// lock waits until no other process has the lock, or until the context ends. It calls
// waiting once if it has to wait. The lock is on another file, because the one of
// environment variables is replaced.
func lock(ctx context.Context, path string, waiting func()) (*os.File, error) {
	const pause = 20 * time.Millisecond
	name := path + ".geminihook-lock"
	told := false
	for {
		file, err := tryLock(name)
		if !errors.Is(err, errInUse) {
			return file, err
		}
		if !told {
			waiting()
			told = true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
	}
}
