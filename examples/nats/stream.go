package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"slices"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamName = "GEMINI"
	subject    = "gemini.events"
	window     = 24 * time.Hour // Google repeats a delivery for this long

	// maxBody bounds the body of a delivery, in bytes. Events have a few hundred.
	maxBody = 256 << 10
	// maxMessage bounds the binary form of such an event, which has the body's
	// metadata twice. A NATS server accepts 1 MiB by default.
	maxMessage = 1 << 20
)

// connect connects to the NATS server, or starts one in this process if no URL is
// given.
func connect(o options) (js jetstream.JetStream, stop func(), err error) {
	settings := []nats.Option{nats.MaxReconnects(-1)}
	shutdown := func() {}
	if o.nats == "" {
		s, err := serve(o.dir)
		if err != nil {
			return nil, nil, err
		}
		settings = append(settings, nats.InProcessServer(s))
		shutdown = func() {
			s.Shutdown()
			s.WaitForShutdown()
		}
	}
	conn, err := nats.Connect(o.nats, settings...)
	if err != nil {
		shutdown()
		return nil, nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	stop = func() {
		conn.Close()
		shutdown()
	}
	js, err = jetstream.New(conn)
	return js, stop, err
}

// serve starts a NATS server that only this process can reach.
func serve(dir string) (*server.Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true,
		SyncAlways: true, // an acknowledged message is on the disk
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, errors.New("the NATS server in this process did not start")
	}
	return s, nil
}

// openStream returns the stream, and creates it if it does not exist. It does not
// change an existing one, which may have an operator's settings, but logs those
// that endanger the promise.
//
// Messages stay for longer than the window, handled or not, because a server
// that restarts knows the ids of the window only from the messages it has.
func openStream(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name: streamName, Subjects: []string{subject},
			Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
			Duplicates: window, MaxAge: 2 * window,
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process created it first
			stream, err = js.Stream(ctx, streamName)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the stream %s: %w", streamName, err)
	}
	for _, text := range streamWarnings(stream.CachedInfo().Config) {
		log.Printf("stream %s: %s", streamName, text)
	}
	return stream, nil
}

// streamWarnings says which settings can lose an event, or let one be handled
// twice.
func streamWarnings(c jetstream.StreamConfig) (texts []string) {
	warn := func(bad bool, text string, args ...any) {
		if bad {
			texts = append(texts, fmt.Sprintf(text, args...))
		}
	}
	warn(!slices.Contains(c.Subjects, subject),
		"its subjects do not list %s: events may be refused with 503", subject)
	warn(c.NoAck, "it does not acknowledge messages: every event is refused with 503")
	warn(c.Storage == jetstream.MemoryStorage, "it is stored in memory: a restart of the server loses events")
	warn(c.PersistMode == jetstream.AsyncPersistMode, "it acknowledges messages before it stores them: a crash of the server loses events")
	warn(c.Duplicates < window, "its duplicate window is %v: Google repeats deliveries for %v",
		c.Duplicates, window)
	warn(c.MaxAge > 0 && c.MaxAge < window,
		"it deletes messages after %v: events may be lost or handled twice", c.MaxAge)
	warn(c.Retention != jetstream.LimitsPolicy, "it deletes handled messages: after a restart of the server, repeated deliveries are handled again")
	limited := c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxMsgsPerSubject > 0
	warn(limited && c.Discard == jetstream.DiscardOld, "its size is limited, and it discards old messages: events may be lost before they are handled")
	warn(c.MaxMsgSize > 0 && c.MaxMsgSize < maxMessage,
		"its messages may have at most %d bytes: larger events are refused with 503", c.MaxMsgSize)
	return texts
}

// publish returns nil when the stream has stored the event, now or earlier. If the
// stream fails, the error wraps [geminihook.ErrStore], so that the response is 503
// and Google delivers the event again. It can return another error only if the
// program has put a value into UserMetadata that cannot be encoded.
func publish(ctx context.Context, js jetstream.JetStream, ev *geminihook.Event) error {
	message, err := ev.MarshalBinary()
	if err != nil {
		return err
	}
	// Go on even if the sender closes the connection.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := js.Publish(ctx, subject, message, jetstream.WithMsgID(ev.ID)); err != nil {
		return fmt.Errorf("%w: %w", geminihook.ErrStore, err)
	}
	return nil
}
