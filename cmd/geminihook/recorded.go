package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

const recordedAbout = `Lists what package record has written into a FOLDER, by default the current
one: the events on which the program failed, the oldest first, and then the deliveries
that it rejected. It tells of each whether it is sent again. Google repeats a delivery for
24 hours after the first attempt, unless the response is 2xx, as it is if the program has
dropped the event.

With a FILE in place of a FOLDER, the body is shown, too.`

func runRecorded(_ context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("recorded", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, jsonHelp)
	err := parse(flags, args, e, "recorded [-json] [FOLDER or FILE...]", recordedAbout)
	if err != nil {
		return err
	}
	places := flags.Args()
	if len(places) == 0 {
		places = []string{"."}
	}
	l := &recordedList{env: e, now: time.Now()}
	for _, place := range places {
		if err := l.read(place); err != nil {
			return err
		}
	}
	slices.SortStableFunc(l.lines, recordedLine.compare)
	for _, line := range l.lines {
		if !*asJSON {
			e.showRecorded(line)
		} else if err := e.line(line); err != nil {
			return err
		}
	}
	if !*asJSON {
		l.conclude(places)
	}
	if l.failed {
		return errReported
	}
	return nil
}

// recordedList reads what is recorded.
type recordedList struct {
	env    *env
	now    time.Time
	lines  []recordedLine
	failed bool // whether a file could not be read, which was reported
}

// read reads a folder or a file.
func (l *recordedList) read(place string) error {
	info, err := os.Stat(place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist: if it is the Dir of a Recorder, "+
			"nothing was recorded yet", place)
	case err != nil:
		return err
	case !info.IsDir():
		return l.readFile(place)
	}
	entries, err := os.ReadDir(place)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() || filepath.Ext(entry.Name()) != ".http" {
			continue
		}
		name := filepath.Join(place, entry.Name())
		d, err := readDelivery(name, l.env)
		switch {
		case errors.Is(err, fs.ErrNotExist): // the event was processed a moment ago
		case err != nil:
			l.failed = true
			fmt.Fprint(l.env.err, wrap(name+": "+plain(err), ""))
		case newRecording(d.Header).result != "": // otherwise "listen" may have written it
			l.lines = append(l.lines, newRecordedLine(d, l.now))
		}
	}
	return nil
}

// readFile reads a file that the user has named.
func (l *recordedList) readFile(name string) error {
	d, err := readDelivery(name, l.env)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if newRecording(d.Header).result == "" {
		return fmt.Errorf("%s was not written by package record: "+
			`"geminihook verify" tells whether it is genuine`, name)
	}
	line := newRecordedLine(d, l.now)
	line.Body = d.Body
	if !json.Valid(d.Body) {
		if line.Body, err = json.Marshal(string(d.Body)); err != nil {
			return err
		}
	}
	l.lines = append(l.lines, line)
	return nil
}

// conclude prints how many deliveries are recorded, and what to do.
func (l *recordedList) conclude(places []string) {
	if len(l.lines) == 0 {
		fmt.Fprint(l.env.out, wrap("Nothing is recorded in "+quoted(places)+".", ""))
		return
	}
	counts := map[string]int{}
	for _, line := range l.lines {
		counts[line.Result]++
		if line.open() && line.NeverSentAgain {
			counts["never sent again"]++
		}
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		texts = append(texts, fmt.Sprintf("%s: %d", name, counts[name]))
	}
	fmt.Fprint(l.env.out, wrap(strings.Join(texts, ", "), ""))
	if slices.ContainsFunc(l.lines, recordedLine.open) {
		fmt.Fprint(l.env.out, wrap(replayHint, ""))
	}
	if counts[string(geminihook.Dropped)] > 0 {
		fmt.Fprint(l.env.out, wrap(droppedHint, ""))
	}
}

const (
	replayHint  = `After the fix, "geminihook send -replay FILE -resign URL" delivers an event at once.`
	droppedHint = "First remove the mark of a dropped event from the store, as the README of the store " +
		"shows: otherwise the event is a duplicate."
)

func quoted(places []string) string {
	texts := make([]string, len(places))
	for i, place := range places {
		texts[i] = strconv.Quote(place)
	}
	return strings.Join(texts, ", ")
}
