package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// ServeHTTP makes one sweep per POST, for platforms on which goroutines do not run
// between requests, such as Cloud Run: let Cloud Scheduler, a Kubernetes CronJob or
// curl send the requests, instead of calling [CatchUp.Run].
//
// The response is the [Summary] of the sweep as JSON, without the text of its Err. Its
// status says whether to try again soon:
//
//	200  every job was asked about, and no run of Handle failed
//	405  the method is not POST
//	409  another request's sweep has not ended in this process: there is nothing to try again
//	500  the CatchUp is not set up correctly: the log says why
//	503  the sweep ended early, or a run of Handle failed: try again
//
// The sweep asks about no further job when SweepTimeout has passed, or if the client
// hangs up, and ServeHTTP returns after the last run of Handle. So it takes up to
// SweepTimeout and Endpoint.RunTimeout; with a Transactor, which may wait as long as the
// function may run, up to SweepTimeout, twice RunTimeout, and StoreTimeout. The
// WriteTimeout of the http.Server and the deadline of the scheduler must be longer.
//
// ServeHTTP authenticates nobody. Whoever can reach it can cause requests to the API,
// and learns how many jobs there are. Leave that to the platform, such as the identity
// tokens of Cloud Run, or serve it where only the scheduler can connect.
func (c *CatchUp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	if !c.serving.TryLock() {
		http.Error(w, "another sweep has not ended", http.StatusConflict)
		return
	}
	defer c.serving.Unlock()
	if err := c.prepare(); err != nil {
		c.logger().ErrorContext(r.Context(), "gemini sweep", "reason", err.Error())
		http.Error(w, http.StatusText(http.StatusInternalServerError),
			http.StatusInternalServerError)
		return
	}
	// A deadline would also end the runs of Handle that have begun just before it.
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	late := time.AfterFunc(cmp.Or(c.SweepTimeout, time.Minute), func() { cancel(errSweepTimeout) })
	defer late.Stop()
	summary, _ := c.Sweep(ctx) // logged
	w.Header().Set("Content-Type", "application/json")
	if summary.Err != nil || summary.Failed > 0 {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(summary.report()) // the scheduler may have hung up
}

var errSweepTimeout = errors.New("jobs: the sweep took longer than CatchUp.SweepTimeout")

// summaryReport is the JSON of a Summary. Its names are those of the log line.
type summaryReport struct {
	Complete    bool    `json:"complete"` // every job was asked about
	Waiting     int     `json:"waiting"`
	Young       int     `json:"young"`
	Running     int     `json:"running"`
	Unreadable  int     `json:"unreadable"`
	Ended       int     `json:"ended"`
	Handled     int     `json:"handled"`
	Duplicate   int     `json:"duplicate"`
	Busy        int     `json:"busy"`
	Dropped     int     `json:"dropped"`
	Failed      int     `json:"failed"`
	NeedsAction int     `json:"needs_action"`
	ElapsedMS   float64 `json:"elapsed_ms"`
}

func (s *Summary) report() summaryReport {
	return summaryReport{
		Complete:    s.Err == nil,
		Waiting:     s.Waiting,
		Young:       s.Young,
		Running:     s.Running,
		Unreadable:  s.Unreadable,
		Ended:       s.Ended,
		Handled:     s.Handled,
		Duplicate:   s.Duplicate,
		Busy:        s.Busy,
		Dropped:     s.Dropped,
		Failed:      s.Failed,
		NeedsAction: s.NeedsAction,
		ElapsedMS:   float64(s.Elapsed.Microseconds()) / 1e3,
	}
}
