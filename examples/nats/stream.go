package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	window  = 24 * time.Hour // in which Google sends an event again
	subject = "gemini.events"
)

// connect connects to the server, or runs one in this process.
func connect(o options) (js jetstream.JetStream, stop func(), err error) {
	url, settings, shutdown := o.nats, []nats.Option{nats.MaxReconnects(-1)}, func() {}
	if url == "" {
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
	conn, err := nats.Connect(url, settings...)
	if err != nil {
		shutdown()
		return nil, nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	js, err = jetstream.New(conn)
	return js, func() {
		conn.Close()
		shutdown()
	}, err
}

// serve runs a server that only this process reaches.
func serve(dir string) (*server.Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true,
		SyncAlways: true, // what is acknowledged is on the disk
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, errors.New("the NATS server in this process does not start")
	}
	return s, nil
}

// openStream makes the stream, or finds it. Messages stay for longer than the
// window, handled or not: after a restart the server knows the ids of a window
// from the messages that it still has.
func openStream(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	return js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "GEMINI", Subjects: []string{subject},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Duplicates: window, MaxAge: 2 * window,
	})
}

// publish returns when the stream has the event, be it for the second time.
// Its errors wrap ErrStore: the answer is 503, and Google sends it again.
func publish(ctx context.Context, js jetstream.JetStream, ev *geminihook.Event) error {
	// Once begun it ends, even if the sender hangs up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := js.Publish(ctx, subject, ev.Raw, jetstream.WithMsgID(ev.ID)); err != nil {
		return fmt.Errorf("%w: %w", geminihook.ErrStore, err)
	}
	return nil
}

// start handles messages until stop: one that fails comes again, later each
// time, and is dead after the last attempt. Dead ones stay in the stream.
func (w *worker) start(ctx context.Context, stream jetstream.Stream) (stop func(), err error) {
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy,
		MaxDeliver: 8, BackOff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute},
	})
	if err != nil {
		return nil, err
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		if err := w.take(ctx, msg); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		return nil, err
	}
	return func() {
		consuming.Drain()
		<-consuming.Closed()
	}, nil
}

// take handles one message, and tells the stream what became of it.
func (w *worker) take(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	ev, err := geminihook.ParseUnverified(msg.Data()) // verified before it was published
	if err != nil {
		return errors.Join(err, msg.Term())
	}
	ev.ID = msg.Headers().Get(jetstream.MsgIDHeader)
	if err := w.handle(ctx, ev, meta.NumDelivered); err != nil {
		if meta.NumDelivered == 1 {
			return msg.NakWithDelay(time.Second)
		}
		return fmt.Errorf("%v, attempt %d: %w", ev, meta.NumDelivered, err) // it comes again as BackOff says
	}
	return msg.DoubleAck(ctx) // returns when the server knows
}
