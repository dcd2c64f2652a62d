package migrate

import (
	"context"
	"net/http"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
)

// After is the last step, 24 hours after the last instance of [Received] has ended:
// Google no longer sends what only has a mark.
func After(secret string, client *redis.Client, work Work) (http.Handler, error) {
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return nil, err
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: redisstore.New(client)}
	return endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		return work(ctx, string(ev.Type), ev.JobID())
	}), nil
}
