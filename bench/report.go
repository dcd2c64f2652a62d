package main

import (
	"fmt"
	"strings"
)

// A table is written as Markdown.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) markdown() string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(t.head)
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = "---:"
	}
	rule[0] = "---"
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// duration is a time in three digits.
func duration(ns float64) string {
	switch {
	case ns == 0:
		return ""
	case ns < 999.5:
		return digits(ns) + " ns"
	case ns < 999_500:
		return digits(ns/1e3) + " µs"
	}
	return digits(ns/1e6) + " ms"
}

func digits(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

func times(v float64) string { return fmt.Sprintf("%.2f", v) }

// shortTable has the ratios that every change should keep.
func shortTable(r *results) *table {
	t := &table{head: []string{"", "ratio"}}
	one := r.verify[0].costs[0]
	t.add("`HMAC.Verify` ÷ one hash of the same 300 bytes and one `time.Now`",
		times(one[1].ns/one[0].ns))
	for i, w := range r.workers {
		c := r.process[i]
		name := fmt.Sprintf("the whole path ÷ the page's handler, in process, %d at a time", w)
		t.add(name, times(c[2].ns/c[1].ns))
	}
	return t
}

// verifyTable has a row per contender; the first is the floor.
func verifyTable(names []string, costs [][]cost) *table {
	t := &table{head: []string{""}}
	for _, size := range sizes {
		t.head = append(t.head, bytesName(size), "× floor")
	}
	t.head = append(t.head, "allocations", "bytes at 300 B")
	for k, name := range names {
		row := []string{name}
		for s := range sizes {
			row = append(row, duration(costs[s][k].ns), times(costs[s][k].ns/costs[s][0].ns))
		}
		t.add(append(row, whole(costs[0][k].allocs), whole(costs[0][k].bytes))...)
	}
	return t
}

func bytesName(n int) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// receiveTable has a row per handler; the first is the empty one.
func receiveTable(r *results) *table {
	t := &table{head: []string{"", "in process", "allocations", "bytes"}}
	for _, w := range r.workers {
		t.head = append(t.head, fmt.Sprintf("TCP, %d at a time: /s", w), "× empty")
	}
	for k, name := range receiveNames {
		one := r.process[0][k]
		row := []string{name, duration(one.ns), whole(one.allocs), whole(one.bytes)}
		for w := range r.workers {
			c := r.tcp[w]
			row = append(row, whole(1e9/c[k].ns), times(c[0].ns/c[k].ns))
		}
		t.add(row...)
	}
	return t
}

// workersTable is the time in process, by workers.
func workersTable(r *results) *table {
	t := &table{head: []string{""}}
	for _, w := range r.workers {
		t.head = append(t.head, fmt.Sprintf("%d at a time", w))
	}
	for k, name := range receiveNames {
		row := []string{name}
		for w := range r.workers {
			row = append(row, duration(r.process[w][k].ns))
		}
		t.add(row...)
	}
	return t
}

func forgedTable(r *results) *table {
	t := &table{head: []string{"", "time per delivery", "allocations", "bytes"}}
	for k, name := range forgedNames {
		c := r.forged[k]
		t.add(name, duration(c.ns), whole(c.allocs), whole(c.bytes))
	}
	return t
}
