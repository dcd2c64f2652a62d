package main

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// What the table of docs/scale.md assumes.
const (
	peakFactor    = 10    // the peak is so many times the average of the day
	usable        = 0.5   // of a core or a writer, at the peak
	receiverCores = 2     // of a receiver
	nodeCores     = 16    // of a database server
	nodeMemory    = 32e9  // of a Redis master, in bytes
	nodeDisk      = 1e12  // of a database server, in bytes
	nodeLog       = 100e6 // that a database server writes, in bytes per second
	processMemory = 1e9   // of a MemoryStore, in bytes
	roundTrip     = time.Millisecond
)

// volumes are the steps, with how long events are remembered.
var volumes = []volume{
	{1e4, 7 * 24 * time.Hour},
	{1e6, 7 * 24 * time.Hour},
	{1e8, 7 * 24 * time.Hour},
	{1e9, 2 * 24 * time.Hour},
}

type volume struct {
	perDay float64
	keep   time.Duration
}

// peak is in events per second.
func (v volume) peak() float64 { return peakFactor * v.perDay / (24 * time.Hour).Seconds() }

// remembered is how many events are in the store.
func (v volume) remembered() float64 { return v.perDay * v.keep.Hours() / 24 }

// scaledStore is a store of the table.
type scaledStore struct {
	name   string
	limits []limit // of one server
	single bool    // whether there can be only one
}

var scaledStores = []scaledStore{
	{"`MemoryStore`", []limit{heapSize}, true},
	{"`sqlstore`, SQLite, as `Transactor`", []limit{oneWriter, disk}, true},
	{"`sqlstore`, MariaDB, as `Transactor`", []limit{serverCPUs, logWrites, disk}, false},
	{"`pgstore` as `Transactor`", []limit{serverCPUs, logWrites, disk}, false},
	{"`pgstore`", []limit{serverCPUs, logWrites, disk}, false},
	{"`redisstore`", []limit{oneCore, memory}, false},
}

// limit is a resource of a node, and how much of it is used: 1 is as much as it should.
type limit struct {
	name string
	used func(c measuredCosts, v volume) float64
}

var (
	oneWriter = limit{"the one writer", func(c measuredCosts, v volume) float64 {
		return v.peak() / c.perSecond / usable
	}}
	oneCore = limit{"the one core", func(c measuredCosts, v volume) float64 {
		return v.peak() * c.engineCPU.Seconds() / usable
	}}
	serverCPUs = limit{"CPU", func(c measuredCosts, v volume) float64 {
		return v.peak() * c.engineCPU.Seconds() / nodeCores / usable
	}}
	heapSize = limit{"memory", func(c measuredCosts, v volume) float64 {
		return v.remembered() * c.stored / processMemory
	}}
	memory = limit{"memory", func(c measuredCosts, v volume) float64 {
		return v.remembered() * c.stored / nodeMemory
	}}
	disk = limit{"disk space", func(c measuredCosts, v volume) float64 {
		return v.remembered() * c.stored / nodeDisk
	}}
	logWrites = limit{"log", func(c measuredCosts, v volume) float64 {
		return v.peak() * c.logOf(v) / nodeLog
	}}
)

// nearest returns the limit of which most is used.
func nearest(limits []limit, c measuredCosts, v volume) (name string, used float64) {
	for _, l := range limits {
		if u := l.used(c, v); u > used {
			name, used = l.name, u
		}
	}
	return name, used
}

// volumeTable computes what each volume needs.
func volumeTable(costs map[string]measuredCosts) *table {
	t := &table{head: []string{
		"events a day", "store", "receivers", "servers of the store", "nearest to its limit",
		"busy connections", "network", "log per day", "stored",
	}}
	for _, v := range volumes {
		for _, s := range scaledStores {
			t.add(s.row(costs[s.name], v)...)
		}
	}
	return t
}

func (s scaledStore) row(c measuredCosts, v volume) []string {
	name, used := nearest(s.limits, c, v)
	if s.single && used > 1 {
		return []string{
			power(v.perDay), s.name, "", "too much for one", name + " " + percent(used), "", "", "", "",
		}
	}
	cpu := v.peak() * (c.clientCPU + c.receiverCPU).Seconds()
	busy, network := "", ""
	if c.trips > 0 {
		busy = roundedUp(v.peak() * c.trips * roundTrip.Seconds())
		network = bytesText(v.peak()*c.wire) + "/s"
	}
	return []string{
		power(v.perDay), s.name, roundedUp(cpu / receiverCores / usable), roundedUp(used),
		name + " " + percent(used), busy, network, bytesText(v.perDay * c.logOf(v)),
		bytesText(v.remembered() * c.stored),
	}
}

// logOf is how many bytes of log an event adds, with so many events in the store.
func (c measuredCosts) logOf(v volume) float64 {
	if v.remembered() < manyRows {
		return c.logged
	}
	return max(c.logged, c.loggedOfMany)
}

func roundedUp(v float64) string { return whole(math.Ceil(v)) }

// power is a number of events.
func power(n float64) string { return "10^" + strconv.Itoa(int(math.Round(math.Log10(n)))) }

func percent(share float64) string {
	if share < 0.01 {
		return "below 1 %"
	}
	return whole(100*share) + " %"
}

// bytesText is a number of bytes in three digits, and nothing for zero.
func bytesText(n float64) string {
	if n == 0 {
		return ""
	}
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 999.5 {
			return digits(n) + " " + unit
		}
		n /= 1000
	}
	return digits(n) + " TB"
}

// writeVolume computes the table from benchmarks.md, and writes it to scale.md, both in
// the folder.
func writeVolume(dir string) error {
	benchmarks, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "scale.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	costs, err := readCosts(string(benchmarks), string(page))
	if err != nil {
		return err
	}
	return writeSection(file, "volume", volumeTable(costs).markdown())
}
