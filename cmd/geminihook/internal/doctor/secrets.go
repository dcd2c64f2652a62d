package doctor

import (
	"slices"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/webhooktest"
)

// Configured checks the form of the configured secrets and returns those that can
// be used.
func Configured(secrets []string) (usable []string, results []Result) {
	if len(secrets) == 0 {
		return nil, []Result{failure("secrets", "no secret is configured",
			"Set GEMINI_WEBHOOK_SECRET, or name the file that sets it with -env.")}
	}
	for _, text := range secrets {
		secret, err := geminihook.ParseSecret(text)
		switch {
		case err != nil:
			text := strings.TrimPrefix(err.Error(), "geminihook: ")
			results = append(results, failure("secrets", text, "Correct GEMINI_WEBHOOK_SECRET."))
		case slices.Contains(published, text):
			results = append(results, failure("secret "+secret.Name(), "it is published, so anyone can sign with it",
				"Make a new one with: geminihook rotate"))
		default:
			usable = append(usable, text)
		}
	}
	return usable, results
}

// published has secrets that everybody can read. The second is the specification's.
var published = []string{webhooktest.TestSecret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}

// equalNames says what the comparison of names leaves open.
const equalNames = ", as far as its last four characters tell, which are all that Google lists"

// Secrets compares the configured secrets with those of the webhooks, of which the
// API tells the last four characters. A secret that is not configured is a failure
// only if its webhook is for this program. That is a webhook that delivers to the
// URL endpoint or, if there is none, a webhook of which a secret is configured. If
// there is none either, any webhook may be for this program.
func Secrets(all []api.Webhook, configured []string, endpoint string) (results []Result) {
	names := map[string]bool{}
	for _, text := range configured {
		if secret, err := geminihook.ParseSecret(text); err == nil {
			names[secret.Name()] = true
		}
	}
	matched := map[string]bool{}
	for _, w := range all {
		for _, s := range w.Secrets {
			matched[s.Name] = matched[s.Name] || names[s.Name]
		}
	}
	ours := func(w api.Webhook) bool { return knows(w, names) }
	if deliversTo(all, endpoint) {
		ours = func(w api.Webhook) bool { return api.SameURL(w.URL, endpoint) }
	}
	certain := slices.ContainsFunc(all, ours)
	for _, w := range all {
		result := ofWebhook(w, names)
		if result.Level == Failure && certain && !ours(w) {
			result.Level = Warning
		}
		if len(w.Secrets) > 0 {
			results = append(results, result)
		}
	}
	for _, text := range configured {
		secret, err := geminihook.ParseSecret(text)
		if err == nil && !matched[secret.Name()] && len(all) > 0 {
			results = append(results, warning("secret "+secret.Name(), "stale: it is configured, but no webhook of this project has it",
				"Remove it from GEMINI_WEBHOOK_SECRET, and restart the program."))
		}
	}
	return results
}

func knows(w api.Webhook, names map[string]bool) bool {
	return slices.ContainsFunc(w.Secrets, func(s api.Secret) bool { return names[s.Name] })
}

// ofWebhook checks whether the secrets of the webhook, of which the newest is the
// first, are configured.
func ofWebhook(w api.Webhook, names map[string]bool) Result {
	check := "webhook " + w.ID + " secret"
	const form = "2006-01-02 15:04 UTC"
	var missing, expiring []string
	for _, s := range w.Secrets {
		switch {
		case !names[s.Name]:
			missing = append(missing, s.Name)
		case !s.Expires.IsZero():
			expiring = append(expiring, s.Name+" until "+s.Expires.UTC().Format(form))
		}
	}
	switch {
	case len(w.Secrets) == 0:
		return ok(check, "the API lists none")
	case len(missing) == len(w.Secrets):
		return failure(check, "missing: "+strings.Join(missing, ", ")+" is not configured, so every delivery is refused",
			"Configure it or, if it is lost, make a new one.", "geminihook", "rotate", w.ID)
	case !names[w.Secrets[0].Name]:
		return failure(check, "missing: the newest, "+w.Secrets[0].Name+", is not configured; deliveries are accepted only as long as the older is valid: "+
			strings.Join(expiring, ", "), "Configure it or, if it is lost, make a new one.",
			"geminihook", "rotate", w.ID)
	case len(expiring) > 0:
		return ok(check,
			w.Secrets[0].Name+" is configured, and so is "+strings.Join(expiring, ", ")+equalNames)
	}
	return ok(check, w.Secrets[0].Name+" is configured"+equalNames)
}
