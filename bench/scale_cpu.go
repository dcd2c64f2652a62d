package main

import (
	"strconv"
	"time"

	"github.com/geminihook/geminihook/internal/testserver"
)

// serversCPU is the CPU time that the processes of the servers have used.
func serversCPU(servers ...*testserver.Server) time.Duration {
	total := time.Duration(0)
	for _, server := range servers {
		ids, err := server.Processes()
		must(err)
		for _, id := range ids {
			total += cpuTime(strconv.Itoa(id))
		}
	}
	return total
}
