package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/geminihook/geminihook"
)

var errKey = errors.New("jobs: CatchUp.Endpoint.Key is not geminihook.ByJob: " +
	"the webhook and the API would report the end of a job under different keys, and it would be handled twice")

// checkKey returns an error unless key gives each end of a job the key that ByJob
// gives it. Functions cannot be compared, so it tries each kind of end, as each
// kind of reporter has it.
func checkKey(key func(context.Context, *geminihook.Event) (string, error)) error {
	if key == nil {
		return errKey
	}
	ctx := context.Background()
	for _, ev := range madeUpEnds() {
		got, err := key(ctx, ev)
		if err != nil {
			return fmt.Errorf("jobs: CatchUp.Endpoint.Key failed for a made-up event: %w", err)
		}
		if want, err := geminihook.ByJob(ctx, ev); err != nil || got != want {
			return errKey
		}
	}
	return nil
}

// madeUpEnds returns an event for each kind of end and reporter.
func madeUpEnds() []*geminihook.Event {
	const id = "geminihook-probe"
	const batch = "batches/" + id
	const interaction = "v1_" + id + ".."
	const video = "models/m/operations/" + id
	schemes := []string{geminihook.SchemeHMAC, geminihook.SchemeEd25519, SchemeAPI}
	var events []*geminihook.Event
	for _, end := range []geminihook.Event{
		{Type: geminihook.EventBatchSucceeded, Data: &geminihook.BatchSucceeded{ID: batch}},
		{Type: geminihook.EventBatchSucceeded, Data: &geminihook.BatchSucceeded{ID: id}},
		{Type: geminihook.EventBatchFailed, Data: &geminihook.BatchFailed{ID: batch}},
		{Type: geminihook.EventBatchExpired, Data: &geminihook.BatchExpired{ID: batch}},
		{Type: geminihook.EventBatchCancelled, Data: &geminihook.BatchCancelled{ID: batch}},
		{
			Type: geminihook.EventInteractionCompleted,
			Data: &geminihook.InteractionCompleted{ID: interaction},
		},
		{
			Type: geminihook.EventInteractionFailed,
			Data: &geminihook.InteractionFailed{ID: interaction},
		},
		{
			Type: geminihook.EventInteractionCancelled,
			Data: &geminihook.InteractionCancelled{ID: interaction},
		},
		{
			Type: geminihook.EventInteractionIncomplete,
			Data: &geminihook.InteractionIncomplete{ID: interaction},
		},
		{
			Type: geminihook.EventInteractionBudgetExceeded,
			Data: &geminihook.InteractionBudgetExceeded{ID: interaction},
		},
		{Type: geminihook.EventVideoGenerated, Data: &geminihook.VideoGenerated{ID: video}},
		{Type: geminihook.EventVideoFailed, Data: &geminihook.VideoFailed{ID: video}},
	} {
		for _, scheme := range schemes {
			ev := end
			ev.ID = scheme + "_" + id
			ev.Proof.Scheme = scheme
			if scheme != SchemeAPI { // the API does not return it
				ev.UserMetadata = map[string]any{id: id}
			}
			events = append(events, &ev)
		}
	}
	return events
}
