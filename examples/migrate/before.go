// Package migrate moves a program from the reference library of Standard Webhooks,
// with marks in Redis, to geminihook, without losing or repeating an event:
// [Before], then [Received], [Both] and [After].
package migrate

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Work is what the program does about an event.
type Work func(ctx context.Context, typ, job string) error

// Before is the program that many have: the reference library verifies, and SETNX
// marks what was seen.
func Before(secret string, client *redis.Client, work Work) (http.Handler, error) {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, err
	}
	marks := &marks{client: client}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "the body cannot be read", http.StatusBadRequest)
			return
		}
		if err := webhook.Verify(body, r.Header); err != nil {
			http.Error(w, "the signature is wrong", http.StatusBadRequest)
			return
		}
		var event struct {
			Type string
			Data struct{ ID string }
		}
		if err := json.Unmarshal(body, &event); err != nil {
			http.Error(w, "the body is not JSON", http.StatusBadRequest)
			return
		}
		err = marks.once(r.Context(), r.Header.Get("webhook-id"), func() error {
			return work(r.Context(), event.Type, event.Data.ID)
		})
		if err != nil {
			log.Print(err)
			http.Error(w, "try again", http.StatusInternalServerError)
		}
	}), nil
}

// marks are the program's own marks in Redis.
type marks struct{ client *redis.Client }

// keep is how long a mark is kept. Google retries for 24 hours.
const keep = 48 * time.Hour

// once calls fn unless the event has a mark. The mark is set first, and removed if
// fn fails. If the process dies in between, the mark remains and the event is lost.
func (m *marks) once(ctx context.Context, id string, fn func() error) error {
	isNew, err := m.client.SetNX(ctx, "webhook:"+id, 1, keep).Result()
	if err != nil || !isNew {
		return err
	}
	if err := fn(); err != nil {
		m.client.Del(context.WithoutCancel(ctx), "webhook:"+id)
		return err
	}
	return nil
}
