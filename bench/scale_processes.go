package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	senders          = 64
	totalConnections = 32 // to the store, of all processes together
)

// processRun is one round with one number of receivers.
type processRun struct {
	rate            float64 // events per second
	receiver, store float64 // ns of CPU per event
	p50, p99        float64 // ns
}

// processes measures receivers in several processes that share a store. The first row
// is one receiver with a MemoryStore, which costs next to nothing.
func processes(quick bool) *table {
	// CPU time comes in steps of 10 ms, so there are enough events for half a second.
	rounds, counts := 5, []int{1, 2, 4, 8}
	events := map[string]int{"MemoryStore": 20_000, "redisstore": 20_000, "pgstore": 6000}
	if quick {
		rounds, counts = 1, []int{1, 2}
		events = map[string]int{"MemoryStore": 200, "redisstore": 200, "pgstore": 200}
	}
	t := &table{head: []string{
		"store", "receivers", "events/s", "CPU of receivers per event",
		"CPU of the store per event", "p50", "p99",
	}}
	for _, store := range []string{"MemoryStore", "redisstore", "pgstore"} {
		counts := counts
		if store == "MemoryStore" {
			counts = counts[:1] // nobody can share it
		}
		server := startStore(store)
		runs := make([][]processRun, len(counts))
		for range rounds {
			for i, n := range counts {
				runs[i] = append(runs[i], receive(store, server, n, events[store]))
			}
		}
		for i, n := range counts {
			of := func(value func(processRun) float64) float64 { return medianOf(runs[i], value) }
			t.add("`"+store+"`", strconv.Itoa(n),
				whole(of(func(r processRun) float64 { return r.rate })),
				duration(of(func(r processRun) float64 { return r.receiver })),
				duration(of(func(r processRun) float64 { return r.store })),
				duration(of(func(r processRun) float64 { return r.p50 })),
				duration(of(func(r processRun) float64 { return r.p99 })))
		}
		if server != nil {
			must(server.Close())
		}
	}
	return t
}

// medianOf is the median of a value.
func medianOf[T any](runs []T, of func(T) float64) float64 {
	var values []float64
	for _, r := range runs {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// startStore starts the store's server, or returns nil if it has none.
func startStore(store string) *testserver.Server {
	switch store {
	case "MemoryStore":
		return nil
	case "redisstore":
		server, err := testserver.StartRedis("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
		must(err)
		return server
	}
	server, err := testserver.StartPostgres("-c", "fsync=on")
	must(err)
	pool, err := pgxpool.New(context.Background(), server.URL)
	must(err)
	defer pool.Close()
	must(pgstore.New(pool).Migrate(context.Background()))
	return server
}

// receive sends events to n receivers.
func receive(store string, server *testserver.Server, n, events int) processRun {
	var servers []*testserver.Server
	url := ""
	if server != nil {
		servers, url = append(servers, server), server.URL
	}
	var children []*child
	for range n {
		children = append(children, startChild(store, url, totalConnections/n))
	}
	defer func() {
		for _, c := range children {
			c.end()
		}
	}()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	deliver(client, children, events/10) // connects everybody
	cpu := func() (total time.Duration) {
		for _, c := range children {
			total += cpuTime(strconv.Itoa(c.cmd.Process.Pid))
		}
		return total
	}
	receiverBefore, storeBefore := cpu(), serversCPU(servers...)
	start := time.Now()
	took := deliver(client, children, events)
	elapsed := time.Since(start)
	of := func(total time.Duration) float64 { return float64(total) / float64(events) }
	slices.Sort(took)
	return processRun{
		rate:     float64(events) / elapsed.Seconds(),
		receiver: of(cpu() - receiverBefore), store: of(serversCPU(servers...) - storeBefore),
		p50: float64(took[len(took)/2]), p99: float64(took[len(took)*99/100]),
	}
}

// deliver sends events to the children in turns and returns how long each took.
func deliver(client *http.Client, children []*child, events int) []time.Duration {
	signer := webhooktest.Static(right)
	requests := make([]*http.Request, events)
	for i := range requests {
		d := webhooktest.New(geminihook.EventBatchSucceeded, signer)
		request, err := d.ClientRequest("http://" + children[i%len(children)].addr)
		must(err)
		requests[i] = request
	}
	took := make([]time.Duration, events)
	var wg sync.WaitGroup
	for worker := range senders {
		wg.Go(func() {
			for i := worker; i < events; i += senders {
				start := time.Now()
				response, err := client.Do(requests[i])
				must(err)
				must(response.Body.Close())
				if response.StatusCode != http.StatusOK {
					must(fmt.Errorf("a receiver responded with %d", response.StatusCode))
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return took
}
