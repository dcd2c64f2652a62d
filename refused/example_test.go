package refused_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/refused"
	"github.com/geminihook/geminihook/webhooktest"
)

// Keep what an endpoint refuses. "geminihook verify" reads the files.
func ExampleRecorder() {
	dir, err := os.MkdirTemp("", "refused")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	recorder := &refused.Recorder{Dir: dir}
	handler := recorder.Wrap(endpoint.Handler(func(context.Context, *geminihook.Event) error { return nil }))

	delivery := webhooktest.New(geminihook.EventBatchFailed, webhooktest.Static(webhooktest.TestSecret))
	for _, d := range []*webhooktest.Delivery{delivery, delivery.Tampered()} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, d.Request("/gemini"))
		files, err := filepath.Glob(filepath.Join(dir, "refused-*.http"))
		fmt.Println(w.Code, len(files), err)
	}
	// Output:
	// 200 0 <nil>
	// 400 1 <nil>
}
