// Command bench compares geminihook with its peers and with the physical floor,
// and its stores with each other. It prints Markdown tables and writes them,
// with two plots, to a folder:
//
//	go run . -out ../docs
//
// The contenders take turns, so that a noisy machine is noisy for all, and the
// figures are medians of the rounds. The ratios are worth more than the times.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// results is all that was measured.
type results struct {
	verify  []verified // a case each
	dynamic verified

	workers []int
	process [][]cost // by workers, then handler
	tcp     [][]cost
	forged  []cost // of forgedNames

	idCounts []int
	stores   []storeCosts
}

type verified struct {
	name  string
	names []string
	costs [][]cost // by size, then contender
}

func main() {
	out := flag.String("out", "", "folder for benchmarks.md, verify.svg and receive.svg; none if empty")
	quick := flag.Bool("quick", false, "a short run, whose figures mean nothing")
	flag.Parse()

	r := measureAll(*quick)
	fmt.Print(r.markdown())
	if *out != "" {
		must(r.write(*out))
	}
}

func measureAll(quick bool) *results {
	rounds, n := 25, 2000
	r := &results{workers: []int{1, 2, 64}, idCounts: []int{1_000, 100_000, 1_000_000}}
	if quick {
		rounds, n, r.idCounts = 1, 64, []int{100, 1000}
	}
	for _, c := range verifyCases {
		names, costs := verification(rounds, c)
		r.verify = append(r.verify, verified{c.name, names, costs})
	}
	r.dynamic.names, r.dynamic.costs = dynamicVerification(rounds)
	for _, w := range r.workers {
		r.process = append(r.process, inProcess(rounds, n, w, receivers(), right, 200))
		r.tcp = append(r.tcp, overTCP(rounds, n, w))
	}
	r.forged = forged(rounds, n)
	for _, kind := range storeKinds {
		r.stores = append(r.stores, storage(rounds, min(n, 300), kind, r.idCounts))
	}
	return r
}

// write writes the tables and the plots.
func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, "benchmarks.md")
	if err := os.WriteFile(file, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	return draw(dir, r)
}

func (r *results) markdown() string {
	var b strings.Builder
	part := func(title, text string, t *table) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s", title, text, t.markdown())
	}
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench` on %s. %s.\n", today(), machine())
	part("In short", "Each row is a ratio of times. The first row and the rows of the stores compare "+
		"with the least work that verification and a commit need; the others compare with the handler "+
		"of Google's page.", shortTable(r))
	b.WriteString("\nIn the tables below, \"× floor\" and \"× empty\" are ratios to the first row.\n")
	b.WriteString("\n![The times of the first table as multiples of the floor](verify.svg)\n\n![Deliveries per second over TCP](receive.svg)\n")
	for _, v := range r.verify {
		part("Verification, v1: "+strings.ToLower(v.name[:1])+v.name[1:], "Time by size of the body. "+
			"The floor is one HMAC over the same bytes per secret, and one `time.Now`. The peers take one "+
			"secret each, so with two secrets they are called twice. `stripe-go` verifies its own header "+
			"and format.", verifyTable(v.names, v.costs))
	}
	part("Verification, v1a", "The `KeySet` has 16 keys. None of the peers knows v1a.",
		verifyTable(r.dynamic.names, r.dynamic.costs))
	part("Receiving", "A batch event, from the request to the response. \"The page's handler\" is what Google's page shows, in Go: "+
		"`io.ReadAll`, the reference library, a `map[string]any`, and no deduplication. Over TCP, the time includes that of the "+
		"client, which is net/http's on the same machine.", receiveTable(r))
	part("Receiving, in process", "Time per delivery, by the number of deliveries at a time.",
		workersTable(r))
	part("A forged delivery", "The time to refuse a forged delivery, including the response, and to verify a genuine one.",
		forgedTable(r))
	part("Stores", "An event is a claim and its completion; with a `Transactor`, it is the transaction around an "+
		"empty function. \"÷ engine\" compares it with the least that the same engine could do: for a claim and its "+
		"completion, one write that creates a key and one that changes it; for a transaction, one write. That column, "+
		"duplicates and claims of a key in progress are measured with the largest number of ids in the store. "+
		"PostgreSQL runs with `fsync`, SQLite in WAL mode, and Redis without persistence.",
		storesTable(r))
	return b.String()
}

func today() string { return time.Now().UTC().Format(time.DateOnly) }

// machine names what was measured on and with.
func machine() string {
	text := fmt.Sprintf("%s, %s/%s, %d cores", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU())
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				text += " (" + strings.TrimSpace(value) + ")"
				break
			}
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		var deps []string
		for _, d := range info.Deps {
			for _, part := range []string{
				"standard-webhooks", "svix", "stripe", "go-redis", "pgx/v5",
				"modernc.org/sqlite",
			} {
				if strings.Contains(d.Path, part) {
					deps = append(deps, d.Path+" "+d.Version)
				}
			}
		}
		text += ". " + strings.Join(deps, ", ")
	}
	return text
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
