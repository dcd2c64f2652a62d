package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
)

// print prints who reported how many ends of which type, and whether each job has
// one result.
func (p *program) print(ctx context.Context, out io.Writer) error {
	rows, err := p.db.QueryContext(ctx, `SELECT event, sum(reporter <> 'api'), sum(reporter = 'api'), count(*)
FROM results GROUP BY event ORDER BY event`)
	if err != nil {
		return err
	}
	defer rows.Close()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "event\tby webhook\tby sweep\tresults\t")
	for rows.Next() {
		var event string
		var webhook, api, all int
		if err := rows.Scan(&event, &webhook, &api, &all); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t\n", event, webhook, api, all)
	}
	if err := errors.Join(rows.Err(), w.Flush()); err != nil {
		return err
	}
	var all, results, distinct int
	const counts = "SELECT (SELECT count(*) FROM geminihook_jobs WHERE id IS NOT NULL), count(*), count(DISTINCT task) FROM results"
	err = p.db.QueryRowContext(ctx, counts).Scan(&all, &results, &distinct)
	if err != nil {
		return err
	}
	if results != all || distinct != all {
		return fmt.Errorf("%d jobs, but %d results of %d of them", all, results, distinct)
	}
	fmt.Fprintf(out, "%d jobs, %d results, each once\n", all, results)
	return nil
}
