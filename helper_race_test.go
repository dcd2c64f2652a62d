//go:build race

package geminihook_test

// raceEnabled reports whether the race detector is on.
const raceEnabled = true
