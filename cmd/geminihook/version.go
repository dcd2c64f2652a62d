package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

const versionAbout = `Prints the version of this command and of the Go release that built it.`

// version prints what the build has recorded. A binary built in a clone without
// version control information has the version "(devel)".
func runVersion(_ context.Context, args []string, e *env) error {
	flags := flag.NewFlagSet("version", flag.ContinueOnError)
	if err := parse(flags, args, e, "version", versionAbout); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{"it takes no arguments"}
	}
	number := "(unknown)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		number = info.Main.Version
	}
	_, err := fmt.Fprintf(e.out, "geminihook %s %s %s/%s\n", number, runtime.Version(),
		runtime.GOOS, runtime.GOARCH)
	return err
}
