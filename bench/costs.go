package main

import (
	"context"
	"strconv"
	"time"
)

// eventCosts is what one event costs. What cannot be measured is zero.
type eventCosts struct {
	clientCPU, engineCPU float64 // ns
	trips, duplicate     float64 // round trips of an event, and of a duplicate of it
	sent, received       float64 // bytes, from and to the client
	logged               float64 // bytes that the engine adds to its log
	stored               float64 // bytes that the key takes
}

const costWorkers = 8

// measureCosts measures what an event costs in one kind of store, by handling events for
// a while. The number is that of the kind.
func measureCosts(s *server, kind storeKind, number int, while time.Duration) eventCosts {
	counted := &wire{}
	database := "costs" + strconv.Itoa(number)
	subject, err := kind.open(s, database, costWorkers, counted.dial)
	must(err)
	defer subject.close()
	empty := read(subject.stored)
	before, _ := handleMany(costWorkers, while/10, 1000, subject.acquire) // prepares statements

	counted.reset()
	client, engine := cpuTime("self"), s.cpu()
	n, _ := handleMany(costWorkers, while, 500_000, subject.acquire)
	client, engine = cpuTime("self")-client, s.cpu()-engine
	events := float64(n)
	return eventCosts{
		clientCPU: float64(client) / events,
		engineCPU: float64(engine) / events,
		trips:     float64(counted.trips.Load()) / events,
		sent:      float64(counted.sent.Load()) / events,
		received:  float64(counted.received.Load()) / events,
		duplicate: duplicateTrips(subject, counted),
		stored:    (read(subject.stored) - empty) / (float64(before) + events),
		logged:    loggedPerEvent(s, kind, number),
	}
}

// fewEvents is so few that SQLite does not begin its log anew meanwhile.
const fewEvents = 50

func duplicateTrips(s *subject, counted *wire) float64 {
	ctx := context.Background()
	key := newKey()
	must(s.acquire(ctx, key))
	for range fewEvents {
		must(s.again(ctx, key)) // the statements are prepared on each connection
	}
	counted.reset()
	for range fewEvents {
		must(s.again(ctx, key))
	}
	return float64(counted.trips.Load()) / fewEvents
}

// loggedPerEvent handles a few events in a database that has some already.
func loggedPerEvent(s *server, kind storeKind, number int) float64 {
	ctx := context.Background()
	subject, err := kind.open(s, "log"+strconv.Itoa(number), 1, dial)
	must(err)
	defer subject.close()
	if subject.logged == nil {
		return 0
	}
	must(subject.fill(ctx, 10_000))
	before := read(subject.logged)
	for range fewEvents {
		must(subject.acquire(ctx, newKey()))
	}
	return (read(subject.logged) - before) / fewEvents
}

func read(number func(context.Context) (float64, error)) float64 {
	n, err := number(context.Background())
	must(err)
	return n
}
