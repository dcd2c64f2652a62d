package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// A scaling is a measurement for docs/scale.md, which has a section with its name.
type scaling struct {
	name    string
	measure func(quick bool) *table
}

var scalings = []scaling{
	{"processes", processes},
	{"masters", masters},
	{"rows", rows},
	{"failover", failover},
}

// scale measures what the arguments name, prints the tables, and writes them into
// scale.md in the folder, unless that is empty.
func scale(dir string, quick bool, names []string) {
	if names[0] == receiverCommand { // a child of processes
		must(receiverProcess(names[1], names[2], names[3]))
		return
	}
	for _, name := range names {
		if name == "volume" {
			must(writeVolume(dir))
			continue
		}
		i := slices.IndexFunc(scalings, func(s scaling) bool { return s.name == name })
		if i < 0 {
			must(fmt.Errorf("no measurement %q", name))
		}
		text := scalings[i].measure(quick).markdown()
		fmt.Printf("\n## %s\n\n%s", name, text)
		if dir != "" {
			must(writeSection(filepath.Join(dir, "scale.md"), name, text))
		}
	}
}

// writeSection replaces what is between the section's markers in a Markdown file.
func writeSection(file, name, text string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin := "<!-- begin " + name + " -->\n"
	end := "<!-- end " + name + " -->"
	before, rest, found := strings.Cut(string(b), begin)
	if !found {
		return fmt.Errorf("%s has no line %q", file, strings.TrimSpace(begin))
	}
	_, after, found := strings.Cut(rest, end)
	if !found {
		return fmt.Errorf("%s has no line %q", file, end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+text+"\n"+end+after), 0o644)
}

// latencies are how long the runs of a measurement took, in order.
type latencies []time.Duration

func (l latencies) at(percent float64) string {
	return duration(float64(l[int(float64(len(l)-1)*percent/100)]))
}

// perSecond is a rate in whole events.
func perSecond(events int, elapsed time.Duration) string {
	return whole(float64(events) / elapsed.Seconds())
}

// handleEvent claims and completes a new event, as an endpoint does, and returns how
// long each took.
func handleEvent(
	ctx context.Context, store geminihook.Store, key string,
) (claim, completion time.Duration) {
	const keep = 7 * 24 * time.Hour
	token := rand.Text()[:13]
	start := time.Now()
	c, err := store.Claim(ctx, key, token, 30*time.Second, keep)
	must(err)
	if c.State != geminihook.Acquired {
		must(fmt.Errorf("a claim was %v", c.State))
	}
	claim = time.Since(start)
	must(store.Complete(ctx, key, token, keep))
	return claim, time.Since(start) - claim
}

// until repeats a look until it reports true.
func until(ctx context.Context, look func() bool) error {
	for !look() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
