package main

import "fmt"

const besideText = "Events per second, and the ratio to what the driver does without the store: " +
	"the median over 25 slices of each in turns, on the same server in the same run, with random " +
	"keys of 40 bytes. In place of a claim and its completion, the driver alone executes an " +
	"insert, which takes over a lease that has ended, and an update, both prepared. In place of " +
	"a transaction, it executes one with the same parts, in as few round trips as it can: a " +
	"lock, a savepoint, the row that the function inserts, the mark, and the commit. With Redis, " +
	"it runs two plain scripts by `EVALSHA`.\n\nPostgreSQL and MariaDB wait for the disk at each " +
	"commit, and so does SQLite, in WAL mode. Redis has an append-only file with `appendfsync " +
	"everysec`. For information, `MemoryStore` is compared with a map and a mutex."

func besideTable(r *results) *table {
	t := &table{head: []string{"store"}}
	for _, workers := range ratioWorkers {
		s := "s"
		if workers == 1 {
			s = ""
		}
		t.head = append(t.head, fmt.Sprintf("%d worker%s: /s", workers, s), "÷ engine")
	}
	for _, s := range r.stores {
		row := []string{s.name}
		for _, ratio := range s.ratios {
			row = append(row, whole(ratio.rate), times(ratio.ratio))
		}
		t.add(row...)
	}
	return t
}

const costsText = "Measured with 8 workers. With a `Transactor`, the row that the function " +
	"inserts is part of each figure except the last. CPU time is that of the client's whole " +
	"process, and of all processes of the server; SQLite runs in the client's. A duplicate is an " +
	"event that is done. \"Sent\" and \"received\" are bytes in the client's TCP connections, " +
	"without headers. \"Log\" is the WAL of PostgreSQL and SQLite, the redo log of MariaDB, and " +
	"the append-only file of Redis. \"Stored\" is what a handled event takes in the table and " +
	"its index, or in memory. [scale.md](scale.md) computes from this table what a number of " +
	"events needs."

func costsTable(r *results) *table {
	t := &table{head: []string{
		"store", "CPU of the client", "CPU of the engine", "round trips", "of a duplicate",
		"sent, bytes", "received, bytes", "log, bytes", "stored, bytes",
	}}
	for _, s := range r.stores {
		c := s.costs
		t.add(s.name, duration(c.clientCPU), duration(c.engineCPU), tenths(c.trips),
			tenths(c.duplicate), known(c.sent), known(c.received), known(c.logged), known(c.stored))
	}
	return t
}

// tenths is a number with one decimal, and known a whole one. Zero means that there is
// no such thing.
func tenths(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", v)
}

func known(v float64) string {
	if v == 0 {
		return ""
	}
	return whole(v)
}

const growthText = "The time of an event by the number of ids in the store, one event at a time. " +
	"The last two columns are measured with the largest number: a duplicate, which is an event " +
	"that is done, and a claim of a key that another claim has, by 8 workers."

func growthTable(r *results) *table {
	t := &table{head: []string{"store"}}
	for _, n := range r.idCounts {
		t.head = append(t.head, "event, "+count(n)+" ids")
	}
	t.head = append(t.head, "last ÷ first", "duplicate", "in progress")
	for _, s := range r.stores {
		row := []string{s.name}
		for _, ns := range s.growth.event {
			row = append(row, duration(ns))
		}
		last := s.growth.event[len(s.growth.event)-1]
		t.add(append(row, times(last/s.growth.event[0]), duration(s.growth.duplicate),
			duration(s.growth.contended))...)
	}
	return t
}

func count(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1000:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}
