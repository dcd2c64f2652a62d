package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/geminihook/geminihook"
)

var errKey = errors.New("jobs: CatchUp.Endpoint.Key is not geminihook.ByJob: " +
	"the webhook and the API would report the end of a job under different keys, and it would be handled twice")

// checkKey returns an error unless key gives the end of a job the key that ByJob gives
// it. Functions cannot be compared, so it tries one end per kind of job.
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

// madeUpEnds returns the end of a job of each kind. Each has been reported in another
// way, and one of them is a failure, so that most functions that look at anything but
// the type and the job give at least one of them another key.
func madeUpEnds() []*geminihook.Event {
	const id = "geminihook-probe"
	return []*geminihook.Event{
		{
			ID:    "msg_" + id,
			Type:  geminihook.EventBatchFailed,
			Data:  &geminihook.BatchFailed{ID: "batches/" + id},
			Proof: geminihook.Proof{Scheme: geminihook.SchemeHMAC},
		},
		{
			ID:           "msg_" + id,
			Type:         geminihook.EventInteractionCompleted,
			Data:         &geminihook.InteractionCompleted{ID: "v1_" + id + ".."},
			UserMetadata: map[string]any{id: id},
			Proof:        geminihook.Proof{Scheme: geminihook.SchemeEd25519},
		},
		{
			ID:    "video.generated:" + id,
			Type:  geminihook.EventVideoGenerated,
			Data:  &geminihook.VideoGenerated{ID: "models/m/operations/" + id},
			Proof: geminihook.Proof{Scheme: SchemeAPI},
		},
	}
}
