package migrate

import (
	"log"
	"net/http"

	"github.com/geminihook/geminihook"
	"github.com/redis/go-redis/v9"
)

// Received is the first step: [geminihook.Endpoint.Receive] verifies and decodes, and
// the marks stay. Old and new instances can run side by side, because they share
// them.
func Received(secret string, client *redis.Client, work Work) (http.Handler, error) {
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return nil, err
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	marks := &marks{client: client}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, err := endpoint.Receive(w, r)
		if err == nil {
			err = marks.once(r.Context(), ev.ID, func() error {
				return work(r.Context(), string(ev.Type), ev.JobID())
			})
		}
		if err != nil {
			log.Print(err)
			status := geminihook.StatusCode(err)
			http.Error(w, http.StatusText(status), status)
		}
	}), nil
}
