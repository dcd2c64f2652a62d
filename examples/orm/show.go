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

// show delivers events to each library until they are acknowledged, and then once
// more. It prints what happened, and returns an error if an event does not have
// exactly one row.
func show(ctx context.Context, out io.Writer, d *database, secret, url string) error {
	const events = 12
	fmt.Fprintf(out, "%d events for each library on %s; every fourth run fails after its writes\n\n",
		events, d.engine)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "library\treceived\tfailed\thandled\tduplicates\trows\t")
	var wrong error
	for _, lib := range libraries {
		before, err := d.rows(ctx, lib.name)
		if err != nil {
			return err
		}
		sender := &webhooktest.Sender{
			URL: url + "/" + lib.name, FirstRetry: 10 * time.Millisecond,
			Signers: []webhooktest.Signer{webhooktest.Static(secret)},
		}
		deliveries := make([]*webhooktest.Delivery, events)
		for i := range deliveries {
			deliveries[i] = webhooktest.New(geminihook.EventBatchSucceeded)
		}
		first, err := sender.Deliver(ctx, deliveries...)
		if err != nil {
			return err
		}
		again, err := sender.Deliver(ctx, deliveries...)
		if err != nil {
			return err
		}
		after, err := d.rows(ctx, lib.name)
		if err != nil {
			return err
		}
		received := len(first.Attempts) + len(again.Attempts)
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t\n", lib.name, received, failures(first),
			len(first.Delivered), len(again.Delivered), after-before)
		if after-before != events {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %d events, but %d rows", lib.name, events, after-before))
		}
	}
	return errors.Join(table.Flush(), wrong)
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
