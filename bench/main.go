// Command bench compares geminihook with its peers and with the physical floor,
// and its stores with each other. It prints Markdown tables and writes them,
// with two plots, to a folder:
//
//	go run . -out ../docs
//
// Arguments name measurements for docs/scale.md instead, which are not part of that:
//
//	go run . -out ../docs processes masters rows failover
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
	stores   []storeResults
}

// storeResults is what was measured of one kind of store.
type storeResults struct {
	name   string
	ratios []ratio // by ratioWorkers
	costs  eventCosts
	growth growth
}

type verified struct {
	name  string
	names []string
	costs [][]cost // by size, then contender
}

func main() {
	out := flag.String("out", "", "folder for benchmarks.md, verify.svg and receive.svg; none if empty")
	only := flag.String("engine", "", "measure only the stores of memory, redis, postgres, sqlite or mariadb")
	quick := flag.Bool("quick", false, "a short run, whose figures mean nothing")
	flag.Parse()

	if flag.NArg() > 0 {
		scale(*out, *quick, flag.Args())
		return
	}
	p := full
	if *quick {
		p = short
	}
	if *only != "" {
		fmt.Print(storesMarkdown(&results{idCounts: p.idCounts, stores: measureStores(p, *only)}))
		return
	}
	r := measureAll(p)
	fmt.Print(r.markdown())
	if *out != "" {
		must(r.write(*out))
		must(writeVolume(*out))
	}
}

// A plan is how much is measured.
type plan struct {
	rounds, runs int // of verification and receiving; a round has as many runs
	idCounts     []int
	idRuns       int           // per round, of each number of ids
	slice        time.Duration // of a store or its engine alone
	costs        time.Duration // of the events whose cost is measured
}

var (
	full = plan{
		rounds: 25, runs: 2000, idCounts: []int{1_000, 100_000, 1_000_000}, idRuns: 100,
		slice: 100 * time.Millisecond, costs: 2 * time.Second,
	}
	short = plan{
		rounds: 1, runs: 64, idCounts: []int{100, 1000}, idRuns: 10,
		slice: 10 * time.Millisecond, costs: 100 * time.Millisecond,
	}
)

func measureAll(p plan) *results {
	r := &results{workers: []int{1, 2, 64}, idCounts: p.idCounts}
	for _, c := range verifyCases {
		names, costs := verification(p.rounds, c)
		r.verify = append(r.verify, verified{c.name, names, costs})
	}
	r.dynamic.names, r.dynamic.costs = dynamicVerification(p.rounds)
	for _, w := range r.workers {
		r.process = append(r.process, inProcess(p.rounds, p.runs, w, receivers(), right, 200))
		r.tcp = append(r.tcp, overTCP(p.rounds, p.runs, w))
	}
	r.forged = forged(p.rounds, p.runs)
	r.stores = measureStores(p, "")
	return r
}

// measureStores measures the stores of the engine with the given name, or of all.
func measureStores(p plan, only string) (all []storeResults) {
	for _, e := range engines {
		if only == "" || only == e.name {
			all = append(all, measureEngine(p, e)...)
		}
	}
	return all
}

func measureEngine(p plan, e engine) (all []storeResults) {
	s, err := e.start()
	must(err)
	defer s.close()
	for i, kind := range e.kinds {
		all = append(all, storeResults{
			name:   kind.name,
			ratios: measureRatios(s, kind, p.rounds, p.slice),
			costs:  measureCosts(s, kind, i, p.costs),
		})
	}
	for i, growth := range measureGrowth(s, e.kinds, p.idCounts, p.rounds, p.idRuns) {
		all[i].growth = growth
	}
	return all
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
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench` on %s. %s.\n", today(), machine())
	b.WriteString(part("In short", "Each row is a ratio of times. The first one compares with the least work that "+
		"verification needs; the others compare with the handler of Google's page. The stores are compared "+
		"with their engines [below](#the-stores-beside-their-engines).", shortTable(r)))
	b.WriteString("\nIn the tables of verification and receiving, \"× floor\" and \"× empty\" are ratios to the first row.\n")
	b.WriteString("\n![The times of the first table as multiples of the floor](verify.svg)\n\n![Deliveries per second over TCP](receive.svg)\n")
	b.WriteString(storesMarkdown(r))
	for _, v := range r.verify {
		b.WriteString(part("Verification, v1: "+strings.ToLower(v.name[:1])+v.name[1:], "Time by size of the body. "+
			"The floor is one HMAC over the same bytes per secret, and one `time.Now`. The peers take one "+
			"secret each, so with two secrets they are called twice. `stripe-go` verifies its own header "+
			"and format.", verifyTable(v.names, v.costs)))
	}
	b.WriteString(part("Verification, v1a",
		"The `KeySet` has 16 keys. None of the peers knows v1a.",
		verifyTable(r.dynamic.names, r.dynamic.costs)))
	b.WriteString(part("Receiving", "A batch event, from the request to the response. \"The page's handler\" is what Google's page shows, in Go: "+
		"`io.ReadAll`, the reference library, a `map[string]any`, and no deduplication. Over TCP, the time includes that of the "+
		"client, which is net/http's on the same machine.", receiveTable(r)))
	b.WriteString(part("Receiving, in process", "Time per delivery, by the number of deliveries at a time.",
		workersTable(r)))
	b.WriteString(part("A forged delivery", "The time to refuse a forged delivery, including the response, and to verify a genuine one.",
		forgedTable(r)))
	return b.String()
}

// storesMarkdown is the part about the stores.
func storesMarkdown(r *results) string {
	return part("The stores beside their engines", besideText, besideTable(r)) +
		part("What one event costs", costsText, costsTable(r)) +
		part("The stores as they grow", growthText, growthTable(r))
}

func part(title, text string, t *table) string {
	return fmt.Sprintf("\n## %s\n\n%s\n\n%s", title, text, t.markdown())
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
				"modernc.org/sqlite", "go-sql-driver",
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
