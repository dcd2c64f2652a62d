package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// failing returns a function that does the same as fn, except that every fourth run
// fails after its writes.
func failing(fn function) function {
	var runs atomic.Int64
	return func(ctx context.Context, ev *geminihook.Event) error {
		if err := fn(ctx, ev); err != nil {
			return err
		}
		if runs.Add(1)%4 == 0 {
			return errors.New("a failure after the writes")
		}
		return nil
	}
}

const events = 12 // for each library

// counts is what happened to the deliveries to a library.
type counts struct{ received, failed, handled, duplicates, rows int }

// show delivers events to each library, and prints what happened. It returns an error
// if an event does not have exactly one row.
func show(ctx context.Context, out io.Writer, d *database, secret, url string) error {
	fmt.Fprintf(out, "%d events for each library on %s; ", events, d.engine)
	fmt.Fprint(out, "every fourth run fails after its writes\n\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "library\treceived\tfailed\thandled\tduplicates\trows\t")
	wrong := 0
	for _, lib := range libraries {
		c, err := deliverTwice(ctx, d, lib.name, &webhooktest.Sender{
			URL: url + "/" + lib.name, FirstRetry: 10 * time.Millisecond,
			Timeout: time.Minute, // a busy machine is not a failure
			Signers: []webhooktest.Signer{webhooktest.Static(secret)},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", lib.name, err)
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t\n", lib.name, c.received, c.failed,
			c.handled, c.duplicates, c.rows)
		if c.rows != events {
			wrong++
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d libraries have a wrong number of rows", wrong)
	}
	return nil
}

// deliverTwice delivers events until they are acknowledged, and then once more.
func deliverTwice(
	ctx context.Context, d *database, library string, sender *webhooktest.Sender,
) (c counts, err error) {
	before, err := d.rows(ctx, library)
	if err != nil {
		return counts{}, err
	}
	deliveries := make([]*webhooktest.Delivery, events)
	for i := range deliveries {
		deliveries[i] = webhooktest.New(geminihook.EventBatchSucceeded)
	}
	first, err := sender.Deliver(ctx, deliveries...)
	if err != nil {
		return counts{}, err
	}
	again, err := sender.Deliver(ctx, deliveries...)
	if err != nil {
		return counts{}, err
	}
	after, err := d.rows(ctx, library)
	return counts{
		received: len(first.Attempts) + len(again.Attempts), failed: failures(first),
		handled: len(first.Delivered), duplicates: len(again.Delivered), rows: after - before,
	}, err
}

// failures returns the number of attempts whose run failed.
func failures(report webhooktest.Report) (n int) {
	for _, attempt := range report.Attempts {
		if attempt.Status == http.StatusInternalServerError {
			n++
		}
	}
	return n
}
