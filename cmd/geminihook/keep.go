package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/envfile"
)

// keeper keeps a secret that the API shows only once: in a file of environment
// variables, or on standard output.
type keeper struct {
	env  *env
	path string
	file *envfile.File // nil without a path
	text string        // the value in the file, when it was opened
	old  []string      // the secrets that are configured
}

// newKeeper opens the file and reads the configured secrets, from the file if it
// has any, otherwise from the environment. Call close when done.
func newKeeper(ctx context.Context, e *env, path string) (*keeper, error) {
	k := &keeper{env: e, path: path}
	if path != "" {
		var err error
		if k.file, err = envfile.Open(ctx, path, k.waiting); err != nil {
			return nil, err
		}
		if k.text, err = k.file.Get(secretVariable); err != nil {
			k.close()
			return nil, err
		}
	}
	text := k.text
	if text == "" {
		text = e.getenv(secretVariable)
	}
	k.old = k.usable(text)
	return k, nil
}

// waiting tells why nothing happens.
func (k *keeper) waiting() {
	text := fmt.Sprintf("Waiting for another command that changes %s.", k.path)
	fmt.Fprint(k.env.err, wrap(text, ""))
}

// usable returns the secrets in the text that can be used.
func (k *keeper) usable(text string) (all []string) {
	for i, s := range split(text) {
		if _, err := geminihook.ParseSecret(s); err != nil {
			fmt.Fprintf(k.env.err, "The configured secret %d is left out: %s.\n", i+1,
				visible(plain(err)))
			continue
		}
		all = append(all, s)
	}
	return all
}

// reread takes over secrets that another command has written into the file since
// it was opened: they are shown nowhere else.
func (k *keeper) reread() error {
	text, err := k.file.Get(secretVariable)
	if err != nil || text == k.text || text == "" {
		return err
	}
	now := k.usable(text)
	others := slices.DeleteFunc(k.old, func(s string) bool { return slices.Contains(now, s) })
	k.old = append(now, others...)
	return nil
}

func (k *keeper) close() {
	if k.file != nil {
		k.file.Close()
	}
}

// knows reports whether a configured secret has the name.
func (k *keeper) knows(name string) bool {
	return slices.ContainsFunc(k.old, func(s string) bool { return secretName(s) == name })
}

// keep puts the secret in front of the configured ones, and writes all of them
// into the file. It returns the new value of the variable. Without a file, or if
// the file cannot be written, that has to be printed, or the secret is lost.
func (k *keeper) keep(secret string) (value string, written bool, err error) {
	if k.file != nil {
		err = k.reread()
	}
	others := slices.DeleteFunc(slices.Clone(k.old), func(s string) bool { return s == secret })
	value = strings.Join(append([]string{secret}, others...), ",")
	if k.file == nil || err != nil {
		return value, false, err
	}
	if _, err := geminihook.ParseSecret(secret); err != nil {
		return value, false, fmt.Errorf("the secret is not written, because it is not of the known form: %w",
			err)
	}
	if err := k.file.Set(secretVariable, value); err != nil {
		return value, false, err
	}
	if k.file.Narrows() {
		text := fmt.Sprintf("All users of this machine could read %s, and now only its owner can. If the receiver runs as another user, give the file to one of its groups, with mode 0640, which stays.",
			k.path)
		fmt.Fprint(k.env.err, wrap(text, ""))
	}
	return value, true, nil
}

// place is where the value of GEMINI_WEBHOOK_SECRET is, in the output for scripts:
// in the output itself unless it is in the file.
type place struct {
	Value string `json:"value,omitempty"`
	File  string `json:"file,omitempty"`
}

func (k *keeper) place(value string, written bool) place {
	if written {
		return place{File: k.path}
	}
	return place{Value: value}
}

// lineError returns the error of a command that has written a line with a place:
// that of writing the line or, if the line has the secret for want of the file, that
// of writing the file.
func (k *keeper) lineError(p place, line, file error) error {
	if line != nil {
		return k.rescue(p.Value, line)
	}
	if file == nil {
		return nil
	}
	return fmt.Errorf("writing %s failed, so the secret is in the output: %w", k.path, file)
}

// tell prints where the secret is, as the last lines of a command's output. If the
// file could not be written, it prints the secret and returns errReported.
func (k *keeper) tell(value string, written bool, err error) error {
	if written {
		fmt.Fprintf(k.env.out, "%s is in %s\n", secretVariable, visible(k.path))
		return nil
	}
	if err != nil {
		text := fmt.Sprintf(
			"Writing %s failed: %v. Keep the secret yourself, which is printed now:",
			k.path, plain(err))
		fmt.Fprint(k.env.err, wrap(text, ""))
	} else {
		fmt.Fprint(k.env.out, "Keep this: it is shown only once.\n\n")
	}
	_, failed := fmt.Fprintf(k.env.out, "%s=%s\n", secretVariable, visible(value))
	if failed != nil {
		return k.rescue(value, failed)
	}
	if err != nil {
		return errReported
	}
	return nil
}

// rescue prints a secret on standard error that could not be printed on standard output,
// such as a file on a full disk: it is shown nowhere else.
func (k *keeper) rescue(value string, failed error) error {
	if value == "" { // it is in the file
		return failed
	}
	text := fmt.Sprintf("Printing the secret failed: %v. Keep it yourself:", failed)
	fmt.Fprintf(k.env.err, "%s%s=%s\n", wrap(text, ""), secretVariable, visible(value))
	return errReported
}
