package main

import (
	"flag"
	"math"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/explain"
)

// verifierFlags are the flags that choose the verifier.
type verifierFlags struct {
	secretFile, jwks string
	google           bool
	optional         bool // whether there need not be a secret or a key set
}

func (v *verifierFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&v.secretFile, "secret-file", "", secretFileHelp)
	flags.StringVar(&v.jwks, "jwks", "", "verify dynamic webhooks with the key set at this `URL`")
	flags.BoolVar(&v.google, "google", false, "verify dynamic webhooks with Google's key set")
}

// keys returns what the flags and the environment describe. It reads the file of
// -secret-file, which may be a pipe, so call it once.
func (v *verifierFlags) keys(e *env) (explain.Keys, error) {
	texts, err := secrets(v.secretFile, e)
	if err != nil {
		return explain.Keys{}, err
	}
	keys := explain.Keys{Secrets: texts}
	if v.dynamic() {
		keys.Dynamic = &geminihook.KeySet{URL: v.jwks, Tolerance: math.MaxInt64}
	}
	if len(texts) == 0 && !v.dynamic() && !v.optional {
		return explain.Keys{}, &usageError{"nothing to verify with: set GEMINI_WEBHOOK_SECRET, or use -secret-file, -jwks, or -google"}
	}
	return keys, nil
}

// dynamic reports whether dynamic webhooks are verified.
func (v *verifierFlags) dynamic() bool { return v.google || v.jwks != "" }

// verifier returns a verifier with the secrets in keys, which refuses old deliveries.
func (v *verifierFlags) verifier(keys explain.Keys) (geminihook.Verifier, error) {
	var verifiers []geminihook.Verifier
	if len(keys.Secrets) > 0 {
		static, err := geminihook.NewHMAC(keys.Secrets...)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, static)
	}
	if v.dynamic() {
		verifiers = append(verifiers, &geminihook.KeySet{URL: v.jwks})
	}
	return geminihook.AnyOf(verifiers...), nil
}
