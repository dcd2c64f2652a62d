package migrate

import (
	"context"
	"net/http"

	"github.com/geminihook/geminihook"
)

// FromPage is what the handler of Google's page becomes. What the page does for each
// type is a case of the switch, and what it does before that is gone.
func FromPage(secret string, download, report Work) (http.Handler, error) {
	verifier, err := geminihook.NewHMAC(secret)
	if err != nil {
		return nil, err
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	return endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		switch data := ev.Data.(type) {
		case *geminihook.BatchSucceeded:
			return download(ctx, data.OutputFileURI, data.ID)
		case *geminihook.BatchFailed:
			return report(ctx, data.ErrorMessage, data.ID)
		}
		return nil // also for types that Google adds later
	}), nil
}
