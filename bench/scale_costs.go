package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// measuredCosts is what one event costs in a store, as the tables in docs say.
type measuredCosts struct {
	clientCPU, engineCPU time.Duration
	receiverCPU          time.Duration // of a receiver, besides that of the store
	trips                float64
	wire, logged, stored float64 // bytes
	loggedOfMany         float64 // bytes if there are manyRows; zero if that was not measured
	perSecond            float64 // events that one worker handles
}

// readCosts reads the costs from the tables of benchmarks.md and scale.md, by store.
func readCosts(benchmarks, page string) (map[string]measuredCosts, error) {
	costs, err1 := readTable(benchmarks, "## What one event costs")
	beside, err2 := readTable(benchmarks, "## The stores beside their engines")
	receivers, err3 := readTable(page, "<!-- begin processes -->")
	large, err4 := readTable(page, "<!-- begin rows -->")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	r := &cells{}
	receiverCPU := r.duration(receivers.row("`MemoryStore`"), "CPU of receivers per event")
	all := map[string]measuredCosts{}
	for _, s := range scaledStores {
		row := costs.row(s.name)
		c := measuredCosts{
			clientCPU:   r.duration(row, "CPU of the client"),
			engineCPU:   r.duration(row, "CPU of the engine"),
			receiverCPU: receiverCPU,
			trips:       r.number(row, "round trips"),
			wire:        r.number(row, "sent, bytes") + r.number(row, "received, bytes"),
			logged:      r.number(row, "log, bytes"),
			stored:      r.number(row, "stored, bytes"),
			perSecond:   r.number(beside.row(s.name), "1 worker: /s"),
		}
		if strings.HasPrefix(s.name, "`pgstore`") {
			c.loggedOfMany = r.number(large.rowBy("meanwhile", compressed), "WAL per event")
		}
		all[s.name] = c
	}
	return all, r.err
}

// readTable reads the first table behind a text.
func readTable(markdown, after string) (*table, error) {
	_, rest, found := strings.Cut(markdown, after)
	if !found {
		return nil, fmt.Errorf("no %q", after)
	}
	t := &table{}
	for line := range strings.Lines(rest) {
		line, isRow := strings.CutPrefix(strings.TrimSpace(line), "|")
		switch {
		case !isRow && t.head == nil: // the text before it
		case !isRow:
			return t, nil
		case strings.HasPrefix(line, " ---"):
		default:
			cells := strings.Split(strings.TrimSuffix(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			if t.head == nil {
				t.head = cells
			} else {
				t.add(cells...)
			}
		}
	}
	return t, nil
}

// row returns the first row whose first cell has the text, by column. It is empty if
// there is none.
func (t *table) row(text string) map[string]string { return t.rowBy(t.head[0], text) }

// rowBy returns the first row that has the text in a column.
func (t *table) rowBy(column, text string) map[string]string {
	for _, cells := range t.rows {
		row := map[string]string{}
		for i, name := range t.head {
			row[name] = cells[i]
		}
		if row[column] == text {
			return row
		}
	}
	return nil
}

// cells reads what is in rows, and keeps the first error. An empty cell is zero, and a
// missing one an error.
type cells struct{ err error }

func (c *cells) number(row map[string]string, column string) float64 {
	text := c.text(row, column)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseFloat(text, 64)
	c.fail(err)
	return n
}

func (c *cells) duration(row map[string]string, column string) time.Duration {
	text := c.text(row, column)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	c.fail(err)
	return d
}

func (c *cells) text(row map[string]string, column string) string {
	text, found := row[column]
	if !found {
		c.fail(fmt.Errorf("a table has no row with a column %q", column))
	}
	return text
}

func (c *cells) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}
