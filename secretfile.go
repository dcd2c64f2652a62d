package geminihook

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	maxSecretFile           = 64 << 10 // bytes
	defaultSecretMinRefresh = time.Second
)

// SecretFile verifies "v1" signatures like [HMAC], with secrets from a file that may
// change while the program runs: a mounted secret of Kubernetes or Cloud Run, or the
// .env file into which "geminihook rotate -env" writes. Use it instead of [NewHMAC]
// to rotate secrets without a restart. Call [SecretFile.Refresh] when the program
// starts, so that a missing file or a bad secret stops it.
//
// The file has at most 64 KiB. It is read when the first delivery arrives and at the
// next delivery after its modification time, its size or its identity has changed,
// however it was replaced. If no secret matches a delivery, the file is read again,
// at most once per MinRefresh: not every file system shows that a file has changed.
//
// If the file is missing or empty, or one of its secrets is refused by
// [ParseSecret], the previous secrets remain in use, all of them, and the log has an
// error for each such change. So a file that is just being written does no harm.
// Without any secrets, Verify returns [ErrUnavailable].
//
// Do not change a SecretFile while it is in use, and do not copy it: use a pointer.
type SecretFile struct {
	// Path names the file. A symbolic link is followed at each delivery. What is
	// not a regular file, such as a pipe, is refused, because reading it could
	// block.
	Path string
	// Variable is the name of a variable, such as GEMINI_WEBHOOK_SECRET, for a
	// file with lines of the form NAME=value, of which the last one with the name
	// counts. There may be "export" before the name and quotation marks around
	// the value, which is a list for [ParseSecrets]. Empty means that the whole
	// file is such a list.
	Variable string
	// Tolerance is how far webhook-timestamp may differ from the current time,
	// in either direction. Zero means 5 minutes.
	Tolerance time.Duration
	// MinRefresh is the minimum time from one reading to the next of a file that
	// does not look changed. Zero means 1 second.
	MinRefresh time.Duration
	// Now is the clock for webhook-timestamp. Nil means time.Now.
	Now func() time.Time
	// Logger gets a line when secrets are read, and when that fails. Nil means
	// slog.Default().
	Logger *slog.Logger

	tried time.Time   // when the file was last read, with or without success
	seen  fs.FileInfo // what the file looked like at that time; nil if there was none

	mu       sync.Mutex    // guards what follows
	looking  chan struct{} // is full while a delivery looks at the file; guards tried and seen
	looks    int           // how many deliveries have looked that could not go on without it
	verifier *HMAC         // has the secrets in use; nil before the first success
	status   SecretFileStatus
}

// SecretFileStatus is the state of a [SecretFile], for metrics.
type SecretFileStatus struct {
	Secrets   int       // the number of secrets that verify deliveries now
	ReadAt    time.Time // when they were read, by SecretFile.Now; zero before the first success
	Failures  int       // the number of readings of the file that have failed since then
	LastError error     // why the last reading failed; nil if it succeeded or there was none
}

// Verify implements [Verifier]. The KeyName of its Proof is the secret's name.
func (f *SecretFile) Verify(ctx context.Context, header http.Header, body []byte) (Proof, error) {
	if f == nil {
		return Proof{}, errNoSecretFile
	}
	var d delivery
	if err := d.parseWithin(f.Tolerance, f.Now, header); err != nil {
		return Proof{}, err
	}
	if d.found.hmac == 0 { // no secret in the file can verify it, so the file is not read
		return Proof{}, &schemeError{scheme: SchemeHMAC, found: d.found}
	}
	verifier, err := f.current(ctx, false)
	if verifier == nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	proof, mismatch := verifier.Verify(ctx, header, body)
	if mismatch == nil {
		return proof, nil
	}
	newer, err := f.current(ctx, true) // the secret may have been rotated
	switch newer {
	case nil:
		return Proof{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case verifier:
		return Proof{}, mismatch
	}
	return newer.Verify(ctx, header, body)
}

// Refresh reads the file unless it looks unchanged. Call it when the program starts
// and from its readiness check. It returns nil if there are then secrets that verify
// deliveries, even if they are old ones because the file cannot be used now.
// Otherwise the error wraps [ErrUnavailable], as it does for a nil SecretFile; if ctx
// has ended, it wraps the error of ctx, too.
func (f *SecretFile) Refresh(ctx context.Context) error {
	if f == nil {
		return errNoSecretFile
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if verifier, err := f.current(ctx, false); verifier == nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// Status returns the current state, without looking at the file. A nil SecretFile
// has the zero SecretFileStatus.
func (f *SecretFile) Status() SecretFileStatus {
	if f == nil {
		return SecretFileStatus{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

var errNoSecretFile = withReason(ErrUnavailable, "the *SecretFile is nil")

// current returns a verifier with the secrets in use, after reading the file if
// needed; mismatch means that the secrets in use did not match a delivery. If there
// are no secrets, it returns nil and the error of the last reading. If ctx ends
// before the file can be looked at, it returns nil and the error of ctx.
func (f *SecretFile) current(ctx context.Context, mismatch bool) (*HMAC, error) {
	verifier, looking, looks := f.begin()
	wait := verifier == nil || mismatch
	select {
	case looking <- struct{}{}:
	default:
		if !wait {
			// Another delivery is looking at the file, which can take a while if it
			// comes over a network. This one need not wait unless no secret matches.
			return verifier, nil
		}
		select {
		case looking <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-looking }()
	if wait && !f.isNext(looks) {
		// Since this delivery began to wait, another one that waited has looked, which is
		// enough. If each of a flood of forged deliveries looked at a slow file, one after
		// the other, they would pile up.
		return f.inUse()
	}
	_, failed := f.inUse()
	info, _ := os.Stat(f.Path) // an error occurs again when the file is read, and is kept then
	changed := f.tried.IsZero() || !looksSame(info, f.seen)
	pause := f.MinRefresh
	if pause <= 0 {
		pause = defaultSecretMinRefresh
	}
	due := time.Since(f.tried) >= pause
	if changed || (due && (mismatch || failed != nil)) {
		f.read(changed)
	}
	return f.inUse()
}

// begin returns the verifier in use, or nil, and what a delivery needs to wait for its
// turn to look at the file.
func (f *SecretFile) begin() (verifier *HMAC, looking chan struct{}, looks int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looking == nil {
		f.looking = make(chan struct{}, 1)
	}
	return f.verifier, f.looking, f.looks
}

// isNext reports whether no delivery that waited has looked since begin. If so, the
// caller must look now.
func (f *SecretFile) isNext(looks int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looks != looks {
		return false
	}
	f.looks++
	return true
}

// inUse returns a verifier with the secrets in use, or nil, and the error of the last
// reading.
func (f *SecretFile) inUse() (*HMAC, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.verifier, f.status.LastError
}

// looksSame reports whether a file looks the same as before. Either may be nil if
// there was no file.
func looksSame(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// read reads the file and logs how it went, but only once until the file changes.
func (f *SecretFile) read(changed bool) {
	logger := cmp.Or(f.Logger, slog.Default()).With("path", f.Path)
	f.tried = time.Now()
	secrets, err := f.load()

	f.mu.Lock()
	before := f.status.LastError
	if err == nil {
		f.verifier = &HMAC{Secrets: secrets, Tolerance: f.Tolerance, Now: f.Now}
		f.status = SecretFileStatus{Secrets: len(secrets), ReadAt: clock(f.Now)}
	} else {
		f.status.Failures++
		f.status.LastError = err
	}
	f.mu.Unlock()

	switch {
	case err == nil && (changed || before != nil):
		logger.Info("gemini webhook secrets were read", "secrets", secrets)
		warnOfPublished(logger, secrets)
	case err != nil && (changed || before == nil || before.Error() != err.Error()):
		logger.Error("gemini webhook secrets were not read", "reason", err.Error())
	}
}

// load returns the secrets in the file and remembers what the file looks like.
func (f *SecretFile) load() ([]Secret, error) {
	text, info, err := readRegular(f.Path)
	f.seen = info
	if err != nil {
		return nil, err
	}
	list := strings.TrimPrefix(text, "\ufeff") // a byte order mark, which some editors write
	if f.Variable != "" {
		value, ok := variableIn(list, f.Variable)
		if !ok {
			return nil, fmt.Errorf("%s has no line that sets %s", f.Path, f.Variable)
		}
		list = value
	}
	secrets, problem := parseList(list)
	if problem != "" {
		return nil, fmt.Errorf("%s: %s", f.Path, problem)
	}
	return secrets, nil
}

// readRegular reads a regular file of at most maxSecretFile bytes. It also returns
// what the file looked like before it was read, so that a change meanwhile is
// noticed at the next delivery. The FileInfo is nil if there is no file.
func readRegular(path string) (string, fs.FileInfo, error) {
	info, err := os.Stat(path) // before os.Open, which waits for the writer of a pipe
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", info, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", info, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return "", nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err == nil && len(text) > maxSecretFile {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxSecretFile)
	}
	return string(text), info, err
}
