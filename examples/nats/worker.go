package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	consumerName = "workers"
	concurrency  = 8 // the number of events that one process handles at a time
	// When a process has died, its events are handed out again after this time.
	ackWait  = 30 * time.Second
	runLimit = 15 * time.Minute // for one run of the function
)

// worker handles the events in the stream.
type worker struct {
	// fn is the program's own work. It may get an event more than once, if an
	// acknowledgement is lost.
	fn func(ctx context.Context, ev *geminihook.Event, attempt uint64) error

	// ackWait is for a consumer that does not exist yet; zero means 30 seconds.
	ackWait time.Duration
}

// openConsumer returns the consumer of the stream, and creates it if it does not
// exist. It does not change an existing one, which may have an operator's
// settings, but logs those that endanger the handling of events.
func openConsumer(
	ctx context.Context, stream jetstream.Stream, wait time.Duration,
) (jetstream.Consumer, error) {
	consumer, err := stream.Consumer(ctx, consumerName)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Durable:    consumerName,
			AckPolicy:  jetstream.AckExplicitPolicy,
			AckWait:    wait,
			MaxDeliver: 8,
			// Events that wait for their next attempt count as well: with the
			// default of 1,000, as many failing ones would block the others.
			MaxAckPending: 20_000,
		})
		if errors.Is(err, jetstream.ErrConsumerExists) { // another process created it first
			consumer, err = stream.Consumer(ctx, consumerName)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the consumer %s: %w", consumerName, err)
	}
	for _, text := range consumerWarnings(consumer.CachedInfo().Config) {
		log.Printf("consumer %s: %s", consumerName, text)
	}
	return consumer, nil
}

// consumerWarnings says which settings endanger the handling of events.
func consumerWarnings(c jetstream.ConsumerConfig) (texts []string) {
	if c.AckPolicy != jetstream.AckExplicitPolicy {
		texts = append(texts, "the acknowledgement policy is not explicit: an event counts as handled although its function failed")
	}
	if c.MaxDeliver == 1 {
		texts = append(texts,
			"max deliver is 1: an event whose function fails is not handled again")
	}
	if c.InactiveThreshold > 0 {
		texts = append(texts, fmt.Sprintf("it is deleted after %v without a worker: all events in the stream are then handled again",
			c.InactiveThreshold))
	}
	return texts
}

// start handles events in the background until stop is called, which waits for
// the runs that are under way.
//
// Each goroutine asks for one event when it is free. A larger batch would wait
// in this process while the server counts the time until its acknowledgement.
func (w *worker) start(ctx context.Context, stream jetstream.Stream) (stop func(), err error) {
	consumer, err := openConsumer(ctx, stream, cmp.Or(w.ackWait, ackWait))
	if err != nil {
		return nil, err
	}
	every := heartbeat(consumer.CachedInfo().Config)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() { w.consume(ctx, consumer, every) })
	}
	return func() {
		cancel()
		wg.Wait()
	}, nil
}

// heartbeat returns how often to tell the server that an event is in progress:
// three times in the shortest time that it waits for an acknowledgement.
func heartbeat(c jetstream.ConsumerConfig) time.Duration {
	wait := cmp.Or(c.AckWait, ackWait)
	if len(c.BackOff) > 0 { // replaces AckWait
		wait = slices.Min(c.BackOff)
	}
	return max(wait/3, 10*time.Millisecond)
}

// consume handles one event after the other until the context ends.
func (w *worker) consume(ctx context.Context, consumer jetstream.Consumer, every time.Duration) {
	for ctx.Err() == nil {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err == nil {
			err = w.take(ctx, msg, every)
		}
		if err == nil || errors.Is(err, nats.ErrTimeout) || ctx.Err() != nil {
			continue // handled, no event yet, or the end
		}
		log.Print(err)
		if msg == nil { // the server is unavailable
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// take runs the function for one event and tells the server the result. If the
// function fails, the server hands the event out again later, and the error
// says why. After the last attempt the event stays in the stream.
func (w *worker) take(ctx context.Context, msg jetstream.Msg, every time.Duration) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	ev := &geminihook.Event{} // was verified before it was published
	if err := ev.UnmarshalBinary(msg.Data()); err != nil {
		return errors.Join(err, msg.Term())
	}
	if err := w.run(ctx, ev, msg, meta.NumDelivered, every); err != nil {
		return errors.Join(
			fmt.Errorf("%v, attempt %d: %w", ev, meta.NumDelivered, err),
			msg.NakWithDelay(delay(meta.NumDelivered)))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return msg.DoubleAck(ctx) // returns when the server has stored it
}

// run runs the function and meanwhile tells the server that the event is in
// progress, so that nobody else gets it. Both end after runLimit.
func (w *worker) run(
	ctx context.Context, ev *geminihook.Event, msg jetstream.Msg, attempt uint64,
	every time.Duration,
) error {
	// The function may need a moment after ctx has ended.
	running, stop := context.WithTimeout(context.WithoutCancel(ctx), runLimit)
	defer stop()
	go inProgress(running, msg, every)
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	return w.fn(ctx, ev, attempt)
}

// inProgress extends the time that the server waits for an acknowledgement,
// until the context ends.
func inProgress(ctx context.Context, msg jetstream.Msg, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := msg.InProgress(); err != nil && ctx.Err() == nil {
				log.Print("extending the time for an event: ", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// delay returns how long an event waits after a failed attempt.
func delay(attempt uint64) time.Duration {
	delays := []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute}
	return delays[min(max(attempt, 1), uint64(len(delays)))-1]
}
