package main

import "context"

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
			run: runSetup,
		},
		{
			name: "list", args: "[-json]",
			about: "list the static webhooks of the project",
			examples: []string{
				"geminihook list",
				"# Only those that are not enabled:",
				`geminihook list -json | jq 'select(.state != "enabled")'`,
			},
			run: runList,
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
			run: runRotate,
		},
		{
			name: "delete", args: "[-yes] ID",
			about: "delete a static webhook",
			examples: []string{
				"geminihook delete webhook-1",
				"# Without the question, for scripts:",
				"geminihook delete -yes webhook-1",
			},
			run: runDelete,
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
			run: runDoctor,
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
			run: runSend,
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
			run: runListen,
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
			run: runVerify,
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
			run: runRecorded,
		},
		{
			name: "secret", args: "",
			about: "print a fresh signing secret",
			examples: []string{
				"export GEMINI_WEBHOOK_SECRET=$(geminihook secret)",
			},
			run: runSecret,
		},
		{
			name: "version", args: "",
			about: "print the version of this command",
			examples: []string{
				"geminihook version",
			},
			run: runVersion,
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
