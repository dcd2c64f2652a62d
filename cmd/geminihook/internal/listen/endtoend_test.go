package listen_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/listen"
	"github.com/geminihook/geminihook/webhooktest"
)

// Delivery is what /api/wait responds with, as far as this test needs it.
type Delivery struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Job      string `json:"job"`      // data.id of the event
	Attempts int    `json:"attempts"` // how many times it has arrived
	Status   int    `json:"status"`   // of your program's response
	Body     string `json:"body"`
}

// waitFor waits until "geminihook listen" has received an event about a job and
// your program has responded to it.
func waitFor(t *testing.T, eventType, job string) Delivery {
	t.Helper()
	query := url.Values{
		"type": {eventType}, "job": {job}, "timeout": {"5m"}, "token": {os.Getenv("GEMINIHOOK_TOKEN")},
	}
	resp, err := http.Get(os.Getenv("GEMINIHOOK_PAGE") + "api/wait?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("no %s about %s: %s", eventType, job, resp.Status)
	}
	var d Delivery
	if err := json.NewDecoder(resp.Body).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBatchEndToEnd(t *testing.T) {
	job := createBatch(t) // through the SDK, and returns its name

	d := waitFor(t, "batch.succeeded", job)
	if d.Status != http.StatusOK {
		t.Errorf("the program responded with %d, want 200", d.Status)
	}
	if d.Attempts != 1 {
		t.Errorf("the event took %d attempts, want 1", d.Attempts)
	}
}

// createBatch plays Google here: its batch ends at once.
func createBatch(t *testing.T) string {
	t.Helper()
	b := start(t, listen.Config{Forward: newProgram(t).URL})
	t.Setenv("GEMINIHOOK_PAGE", b.PageURL())
	t.Setenv("GEMINIHOOK_TOKEN", pageToken)
	go b.deliver(webhooktest.NewData(&geminihook.BatchSucceeded{ID: "batch_123456"}, signer))
	return "batch_123456"
}
