package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/doctor"
)

// findings shows the results as they come.
type findings struct {
	env    *env
	json   bool
	counts map[doctor.Level]int
	err    error // of writing
}

func (f *findings) add(results ...doctor.Result) {
	for _, r := range results {
		f.counts[r.Level]++
		if f.json {
			f.err = errors.Join(f.err, f.env.line(r))
			continue
		}
		const indent = "         "
		level := f.env.paint(color(r.Level), fmt.Sprintf("%-7s", r.Level))
		text := strings.TrimPrefix(wrap(r.Check+": "+r.Text, indent), indent)
		fmt.Fprint(f.env.out, level, "  ", text)
		if r.Do != "" {
			fmt.Fprint(f.env.out, wrap("-> "+r.Do, indent))
		}
		if r.Run != "" { // unbroken, to be copied
			fmt.Fprintf(f.env.out, "%s   %s\n", indent, visible(r.Run))
		}
	}
}

// totals counts the results.
func (f *findings) totals() {
	if !f.json {
		fmt.Fprintf(f.env.out, "\nok: %d, warnings: %d, failures: %d\n", f.counts[doctor.OK],
			f.counts[doctor.Warning], f.counts[doctor.Failure])
	}
}

// color returns the color in which the level is shown.
func color(level doctor.Level) string {
	switch level {
	case doctor.OK:
		return green
	case doctor.Warning:
		return yellow
	}
	return red
}
