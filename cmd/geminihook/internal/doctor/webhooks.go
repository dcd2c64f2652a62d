package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
)

// Webhooks checks the state, URL, and events of each webhook. The program wants the
// events in want. Its endpoint has the URL endpoint, which is empty if it is unknown.
func Webhooks(all []api.Webhook, want []string, endpoint string) (results []Result) {
	if len(all) == 0 {
		return []Result{warning("webhooks", "the project has no static webhook",
			"Create one with: geminihook setup -url URL. (Dynamic webhooks, which each job names, are not listed.)")}
	}
	// Google does not deliver to this machine.
	if endpoint != "" && api.CheckURL(endpoint) == nil && !deliversTo(all, endpoint) {
		results = append(results, warning("webhooks", "no webhook delivers to "+endpoint,
			"Create one.", "geminihook", "setup", "-url", endpoint))
	}
	for i, w := range all {
		results = append(results, state(w), address(w), events(w, want))
		if deliversTo(all[:i], w.URL) {
			results = append(results, warning("webhook "+w.ID+" twice",
				"another webhook has the same URL, so each event comes twice, with two ids",
				"Delete one of them.", "geminihook", "delete", w.ID))
		}
	}
	return results
}

func deliversTo(all []api.Webhook, url string) bool {
	return slices.ContainsFunc(all, func(w api.Webhook) bool { return api.SameURL(w.URL, url) })
}

func state(w api.Webhook) Result {
	check := "webhook " + w.ID + " state"
	switch {
	case w.Enabled():
		return ok(check, w.State)
	case w.State == "disabled_due_to_failed_deliveries":
		return failure(check, w.State+": Google has given up after too many failures",
			"Find out why the endpoint refuses deliveries, for example with -endpoint. Then enable it.",
			"geminihook", "setup", "-update", "-url", w.URL)
	case w.State == "disabled":
		return failure(check, w.State, "If it should deliver, enable it.",
			"geminihook", "setup", "-update", "-url", w.URL)
	}
	return warning(check, fmt.Sprintf("%q is not a state that this command knows", w.State), "See Google's page about webhooks.")
}

func address(w api.Webhook) Result {
	check := "webhook " + w.ID + " URL"
	if err := api.CheckURL(w.URL); err != nil {
		return failure(check, w.URL+": "+err.Error(), "Create another with: geminihook setup -url URL. Then delete this one.",
			"geminihook", "delete", w.ID)
	}
	return ok(check, w.URL)
}

func events(w api.Webhook, want []string) Result {
	check := "webhook " + w.ID + " events"
	var missing []string
	for _, t := range want {
		if !slices.Contains(w.Events, t) {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		all := strings.Join(slices.Concat(w.Events, missing), ",")
		return warning(check, "not subscribed to "+strings.Join(missing, ", "),
			"If the program needs them, subscribe to them.",
			"geminihook", "setup", "-update", "-url", w.URL, "-events", all)
	}
	return ok(check, fmt.Sprintf("subscribed to all %d that are wanted", len(want)))
}
