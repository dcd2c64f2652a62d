package main

import (
	"flag"
	"time"

	"github.com/geminihook/geminihook"
)

// verifierFlags are the flags that choose the verifier.
type verifierFlags struct {
	secretFile, jwks string
	google           bool
}

func (v *verifierFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&v.secretFile, "secret-file", "", secretFileHelp)
	flags.StringVar(&v.jwks, "jwks", "", "verify dynamic webhooks with the key set at this `URL`")
	flags.BoolVar(&v.google, "google", false, "verify dynamic webhooks with Google's key set")
}

// verifier returns the verifier that the flags and the environment describe. Its
// clock is now; nil means the system clock.
func (v *verifierFlags) verifier(e *env, now func() time.Time) (geminihook.Verifier, error) {
	all, err := secrets(v.secretFile, e)
	if err != nil {
		return nil, err
	}
	var verifiers []geminihook.Verifier
	if len(all) > 0 {
		static, err := geminihook.NewHMAC(all...)
		if err != nil {
			return nil, err
		}
		static.Now = now
		verifiers = append(verifiers, static)
	}
	if v.google || v.jwks != "" {
		verifiers = append(verifiers, &geminihook.KeySet{URL: v.jwks, Now: now})
	}
	if len(verifiers) == 0 {
		return nil, &usageError{"nothing to verify with: set GEMINI_WEBHOOK_SECRET, or use -secret-file, -jwks, or -google"}
	}
	return geminihook.AnyOf(verifiers...), nil
}
