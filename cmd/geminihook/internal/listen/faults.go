package listen

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// The faults that the page can ask for in the responses to the next deliveries.
const (
	fault500  = "500"
	fault503  = "503"
	faultSlow = "slow"
)

const (
	maxFaults = 1000
	maxDelay  = 30 * time.Second
)

// fault asks for a response to the next Left genuine deliveries.
type fault struct {
	Mode    string `json:"mode"`    // "500", "503", "slow", or "" for none
	Left    int    `json:"left"`    // how many deliveries
	Seconds int    `json:"seconds"` // how late the response is, for "slow"
}

// status returns the status that the fault asks for, or 0 if it asks for none.
func (f fault) status() int {
	switch f.Mode {
	case fault500:
		return http.StatusInternalServerError
	case fault503:
		return http.StatusServiceUnavailable
	}
	return 0
}

func (f fault) delay() time.Duration { return time.Duration(f.Seconds) * time.Second }

func (f fault) check() error {
	limit := int(maxDelay / time.Second)
	switch {
	case f.Mode == "" && f.Left == 0 && f.Seconds == 0:
	case f.Mode != fault500 && f.Mode != fault503 && f.Mode != faultSlow:
		return fmt.Errorf(`mode must be "500", "503", or "slow"`)
	case f.Left < 1 || f.Left > maxFaults:
		return fmt.Errorf("left must be from 1 to %d", maxFaults)
	case f.Mode == faultSlow && (f.Seconds < 1 || f.Seconds > limit):
		return fmt.Errorf("seconds must be from 1 to %d", limit)
	}
	return nil
}

// faults holds the fault that is in force. Its zero value has none.
type faults struct {
	mu  sync.Mutex
	now fault
}

func (f *faults) set(next fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = next
}

func (f *faults) get() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// take returns the fault for one delivery and counts it.
func (f *faults) take() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.now
	if f.now.Left--; f.now.Left <= 0 {
		f.now = fault{}
	}
	return taken
}
