package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpu returns the CPU time that the server's processes have used: those whose working
// folder is the server's. It is zero on systems other than Linux.
func (s *server) cpu() time.Duration {
	if s.Server == nil {
		return 0
	}
	folders, err := filepath.Glob("/proc/[0-9]*/cwd")
	must(err) // the pattern is right
	var sum time.Duration
	for _, folder := range folders {
		target, err := os.Readlink(folder)
		if err == nil && strings.HasPrefix(target+"/", s.Dir+"/") {
			sum += cpuTime(filepath.Base(filepath.Dir(folder)))
		}
	}
	return sum
}

// cpuTime returns the CPU time that a process and its children that have ended have
// used, and zero if that is unknown.
func cpuTime(process string) time.Duration {
	stat, err := os.ReadFile("/proc/" + process + "/stat")
	if err != nil {
		return 0
	}
	// The name of the program, which is in parentheses, may have spaces in it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 15 {
		return 0
	}
	const tick = time.Second / 100
	var sum time.Duration
	for _, field := range fields[11:15] { // utime, stime, cutime and cstime
		ticks, err := strconv.ParseInt(field, 10, 64)
		must(err)
		sum += time.Duration(ticks) * tick
	}
	return sum
}
