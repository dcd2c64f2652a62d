//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// night is what the operator of docs/operations.md meets: a program that fails for
// one job of a hundred, and its folder and log, in the current folder.
type night struct {
	t       *testing.T
	program string
	bin     string // the folder of the command
	url     string
	stop    func()
}

// deploy starts the program, or starts it again with the fix.
func (n *night) deploy(fixed string) {
	n.t.Helper()
	if n.stop != nil {
		n.stop()
	}
	logged, err := os.OpenFile("server.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(n.t, err)
	info, err := logged.Stat()
	require.NoError(n.t, err)
	ctx, cancel := context.WithCancel(n.t.Context())
	program := exec.CommandContext(ctx, n.program)
	program.Env = append(os.Environ(), "ADDR=127.0.0.1:0", "FIXED="+fixed,
		"GEMINI_WEBHOOK_SECRET="+webhooktest.TestSecret)
	program.Stderr = logged
	require.NoError(n.t, program.Start())
	n.stop = func() {
		cancel()
		_ = program.Wait()
		_ = logged.Close()
	}
	n.t.Cleanup(n.stop)
	listening := regexp.MustCompile(`listening on (http://[^\s"]+)`)
	require.Eventually(n.t, func() bool {
		found := listening.FindStringSubmatch(readable(n.t, "server.log")[info.Size():])
		if found != nil {
			n.url = found[1]
		}
		return found != nil
	}, time.Minute, 10*time.Millisecond)
}

// post delivers d, signed now, with the id.
func (n *night) post(d *webhooktest.Delivery, id string) {
	n.t.Helper()
	d.SetID(id)
	req, err := d.ClientRequest(n.url)
	require.NoError(n.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(n.t, err)
	require.NoError(n.t, resp.Body.Close())
}

// deliver delivers what the guide tells: events about 100 jobs, of which one fails
// three times and one is dropped, and a forged delivery.
func (n *night) deliver() {
	n.t.Helper()
	signer := webhooktest.Static(webhooktest.TestSecret)
	poison := &geminihook.BatchSucceeded{ID: "batches/42", OutputFileURI: "gs://my-bucket/42.jsonl"}
	const poisonID = "msg_9cdf2bc4-e979-4dba-a9d9-16b27808353d"
	failing := webhooktest.NewData(poison)
	failing.SetID(poisonID)
	for i := range 3 {
		n.post(failing.Sign(time.Now(), signer), poisonID)
		n.recorded(i + 1)
	}
	for i := range 100 {
		d := webhooktest.NewData(&geminihook.BatchSucceeded{ID: fmt.Sprint("batches/", i+1)})
		switch d.SetID(webhooktest.NewID()); i + 1 {
		case 42:
			continue
		case 77:
			d.SetID("msg_f551ce0b-261b-47d2-9d0c-49fd4a2367e4")
		}
		n.post(d.Sign(time.Now(), signer), d.ID())
	}
	forged := webhooktest.New(geminihook.EventBatchSucceeded, signer).WrongSecret()
	n.post(forged, "msg_553a4fa7-9606-4b80-8878-0d6bb439b21b")
	n.recorded(5)
}

// recorded waits until the recorder has written that many files, which it does after
// the response.
func (n *night) recorded(files int) {
	n.t.Helper()
	require.Eventually(n.t, func() bool {
		log := readable(n.t, "server.log")
		return strings.Count(log, "a delivery was recorded") == files
	}, time.Minute, 10*time.Millisecond)
}

// run runs a command line in a shell.
func (n *night) run(line string) string {
	n.t.Helper()
	line = strings.ReplaceAll(line, "http://127.0.0.1:8080/gemini", n.url)
	line = strings.ReplaceAll(line, " URL;", " "+n.url+";")
	shell := exec.Command("sh", "-c", line)
	shell.Env = append(os.Environ(), "PATH="+n.bin+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"GEMINI_WEBHOOK_SECRET="+webhooktest.TestSecret)
	out, err := shell.CombinedOutput()
	if !strings.HasPrefix(line, "grep ") { // which fails if it finds nothing
		require.NoError(n.t, err, "%s\n%s", line, out)
	}
	return string(out)
}

// TestOperations runs the commands of docs/operations.md in their order, and compares
// what they write with what the guide shows. In the end, nothing is left to do.
func TestOperations(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	require.NoError(t, err)
	guide := string(text)
	n := &night{t: t, bin: filepath.Dir(build(t)), program: filepath.Join(t.TempDir(), "shop")}
	out, err := exec.Command("go", "build", "-o", n.program, "./testdata/shop").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Chdir(t.TempDir())
	n.deploy("")
	n.deliver()
	tried := 0
	blocks := regexp.MustCompile("(?s)```\n(\\$ .*?)```").FindAllStringSubmatch(guide, -1)
	for _, block := range blocks {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			line, shows, _ := strings.Cut(step, "\n")
			if strings.HasPrefix(line, "export ") {
				continue
			}
			if strings.Contains(line, " send ") {
				n.deploy("1")
			}
			assert.Equal(t, general(shows), general(n.run(line)), line)
			tried++
		}
	}
	assert.Equal(t, 7, tried)

	all := regexp.MustCompile(`(?m)^for file in .*; done$`).FindString(guide)
	assert.Contains(t, flat(n.run(all)), "1 x 200 OK", "the restart has forgotten the mark")
	require.Eventually(t, func() bool {
		return strings.Contains(n.run("geminihook recorded deliveries"), "\nrejected: 1\n")
	}, time.Minute, 10*time.Millisecond)
}

// general replaces what differs from run to run.
func general(text string) string {
	for _, r := range []struct{ pattern, by string }{
		{`\d{4}-\d\d-\d\dT[0-9:.]+Z`, "TIME"},
		{`\([^() ]+ ago\)`, "(AGO)"},
		{`"?whsec_\.\.\.[A-Za-z0-9+/=]+"?`, "SECRET"},
		{`(age_s|elapsed_ms)=[0-9.]+`, "$1=N"},
		{`[0-9.]+(µs|ms|s)\b`, "DURATION"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
	}
	return flat(text)
}
