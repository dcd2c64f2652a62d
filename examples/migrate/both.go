package migrate

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
)

// Both is the second step: the store decides, and the marks are still set, for the
// instances of [Received] that run beside it.
func Both(secret string, client *redis.Client, work Work) (http.Handler, error) {
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return nil, err
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: redisstore.New(client)}
	marks := &marks{client: client}
	return endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		handled, err := marks.take(ctx, ev.ID)
		if err != nil || handled {
			return err
		}
		if err := work(ctx, string(ev.Type), ev.JobID()); err != nil {
			client.Del(context.WithoutCancel(ctx), "webhook:"+ev.ID)
			return err
		}
		return nil
	}), nil
}

// longest is longer than any run.
const longest = 2 * time.Minute

// take sets the mark of an event that the store has given to this instance. It reports
// whether an instance without the store has handled the event.
func (m *marks) take(ctx context.Context, id string) (handled bool, err error) {
	key := "webhook:" + id
	isNew, err := m.client.SetNX(ctx, key, "store", keep).Result()
	if err != nil || isNew {
		return false, err
	}
	by, err := m.client.Get(ctx, key).Result()
	if err != nil {
		return false, err
	}
	if by == "store" { // this is the next attempt, after the process was killed
		return false, nil
	}
	left, err := m.client.PTTL(ctx, key).Result()
	if err == nil && keep-left < longest {
		err = errors.New("an instance without the store may still be running the event")
	}
	return true, err
}
