package main

import (
	"context"
	"fmt"
	"strings"
)

// command is one entry of the table below: all that the help and run know of a
// command.
type command struct {
	name, args string // as in "send [flags] URL"
	about      string // for the list of the commands
	examples   []string
	run        func(ctx context.Context, args []string, e *env) error
}

// commands returns the commands in the order of the help.
func commands() []command {
	return []command{
		{
			name: "setup", args: "[flags] -url URL",
			about: "create the static webhook and keep its secret",
			examples: []string{
				"# Create it, and write its secret into .env:",
				"geminihook setup -url https://example.com/gemini -env .env",
				"# Subscribe to two types only, and print the secret:",
				"geminihook setup -url https://example.com/gemini \\",
				"    -events batch.succeeded,batch.failed",
				"# Enable a webhook that Google has disabled:",
				"geminihook setup -url https://example.com/gemini -update",
			},
			run: setup,
		},
		{
			name: "list", args: "[-json]",
			about: "list the static webhooks of the project",
			examples: []string{
				"geminihook list",
				"# Only those that are not enabled:",
				`geminihook list -json | jq 'select(.state != "enabled")'`,
			},
			run: list,
		},
		{
			name: "rotate", args: "[flags] ID",
			about: "make a new secret; the old one is valid for 24 hours",
			examples: []string{
				"# Keep both secrets in .env, the new one first:",
				"geminihook rotate -env .env -url https://example.com/gemini",
				"# Print them:",
				"geminihook rotate webhook-1",
			},
			run: rotate,
		},
		{
			name: "delete", args: "[-yes] ID",
			about: "delete a static webhook",
			examples: []string{
				"geminihook delete webhook-1",
				"# Without the question, for scripts:",
				"geminihook delete -yes webhook-1",
			},
			run: remove,
		},
		{
			name: "doctor", args: "[flags]",
			about: "find out what is wrong, and what to do",
			examples: []string{
				"# The API key, the webhooks, the secrets in .env, the clock, the key set:",
				"geminihook doctor -env .env",
				"# The deployed endpoint, too:",
				"geminihook doctor -env .env -endpoint https://example.com/gemini",
				"# Only what is wrong:",
				`geminihook doctor -json | jq 'select(.level != "ok")'`,
			},
			run: diagnose,
		},
		{
			name: "send", args: "[flags] URL",
			about: "deliver events to a receiver",
			examples: []string{
				"geminihook send -type batch.succeeded http://127.0.0.1:8080/gemini",
				"# An event about a certain job:",
				"geminihook send -set data.id=batches/42 http://127.0.0.1:8080/gemini",
				"# 1000 events, a tenth of the attempts twice at the same time:",
				"geminihook send -n 1000 -duplicates 0.1 http://127.0.0.1:8080/gemini",
				"# A recorded event that failed, again, as Google repeats it:",
				"geminihook send -replay failed-5f0d.http -resign http://127.0.0.1:8080/gemini",
				"# Forged deliveries must be refused:",
				"geminihook send -tamper http://127.0.0.1:8080/gemini",
			},
			run: send,
		},
		{
			name: "listen", args: "[flags]",
			about: "receive deliveries, show them on a page, forward them",
			examples: []string{
				"geminihook listen -forward http://127.0.0.1:8080/gemini",
				"# Write the deliveries to files, too:",
				"geminihook listen -dir deliveries",
				"# Dynamic webhooks:",
				"geminihook listen -google",
			},
			run: listenCommand,
		},
		{
			name: "verify", args: "[flags] FILE...",
			about: "report whether a recorded delivery is genuine, and if not, why",
			examples: []string{
				"geminihook verify deliveries/*.http",
				"# Dynamic webhooks:",
				"geminihook verify -google delivery.http",
				"# The names of those that are not accepted:",
				`geminihook verify -json *.http | jq -r 'select(.verified | not).file'`,
			},
			run: verify,
		},
		{
			name: "recorded", args: "[-json] [FOLDER or FILE...]",
			about: "list the events on which a program failed",
			examples: []string{
				"geminihook recorded deliveries",
				"# One of them, with its body:",
				"geminihook recorded deliveries/failed-5f0d.http",
				"# The jobs whose events are never sent again:",
				"geminihook recorded -json deliveries | jq -r 'select(.never_sent_again).job'",
			},
			run: recorded,
		},
		{
			name: "secret", args: "",
			about: "print a fresh signing secret",
			examples: []string{
				"export GEMINI_WEBHOOK_SECRET=$(geminihook secret)",
			},
			run: secret,
		},
		{
			name: "version", args: "",
			about: "print the version of this command",
			examples: []string{
				"geminihook version",
			},
			run: version,
		},
	}
}

// find returns the command with the name.
func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// usage is the help of the command as a whole.
func usage() string {
	var b strings.Builder
	b.WriteString("geminihook sets up, sends, receives, and verifies Gemini webhooks.\n\n" +
		"usage: geminihook COMMAND [flags] [arguments]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.about)
	}
	b.WriteString(`
Secrets are read from GEMINI_WEBHOOK_SECRET (separated by commas) or from a
file, the API key from GOOGLE_API_KEY or GEMINI_API_KEY, and neither from the
command line. With -json, the output is one JSON object per line.

The exit status is 0 on success, 1 if a delivery or the command failed, and 2 if
the command line is wrong. "geminihook COMMAND -h" shows the flags of a command
and examples.
`)
	return b.String()
}
