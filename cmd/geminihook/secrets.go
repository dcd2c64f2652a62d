package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
)

const (
	secretVariable = "GEMINI_WEBHOOK_SECRET"
	envFileHelp    = "write GEMINI_WEBHOOK_SECRET into `FILE`, which only its owner can read if it is new, and keep its other lines; without it, the secret is printed"
)

const secretFileHelp = "read the secrets from `FILE`, such as .env, instead of the environment"

// secrets returns the signing secrets from the file or, if file is empty, from
// the environment. There may be none. The file sets GEMINI_WEBHOOK_SECRET, or has
// nothing but secrets in it.
func secrets(file string, e *env) ([]string, error) {
	text, err := secretText(file, e)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, s := range split(text) {
		if s == "export" { // the name and the secret follow, and the error below says so
			continue
		}
		if _, err := geminihook.ParseSecret(s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// secretText is [secrets] before the list is split and its members are checked.
func secretText(file string, e *env) (string, error) {
	if file == "" {
		return e.getenv(secretVariable), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if err := envfile.Check(b); err != nil {
		return "", fmt.Errorf("%s %w", file, err)
	}
	if bytes.Contains(b, []byte(secretVariable)) {
		return envfile.Value(b, secretVariable), nil
	}
	return strings.TrimPrefix(string(b), "\ufeff"), nil
}

// split returns the members of a list of secrets.
func split(text string) []string {
	return strings.FieldsFunc(text,
		func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

// secretName returns the name of the secret, in the form in which Google lists it.
func secretName(secret string) string {
	s, err := geminihook.ParseSecret(secret)
	if err != nil {
		return "whsec_..."
	}
	return s.Name()
}
