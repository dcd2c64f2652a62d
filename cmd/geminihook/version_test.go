package main

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVersion(t *testing.T) {
	status, out, errs := call(t, "", nil, "version")
	assert.Zero(t, status)
	assert.Empty(t, errs)
	assert.Regexp(t, `^geminihook \S+ `+runtime.Version()+` \w+/\w+\n$`, out)
	for args, want := range map[string]int{"version -h": exitOK, "version x": exitUsage} {
		status, _, _ := call(t, "", nil, strings.Fields(args)...)
		assert.Equal(t, want, status, args)
	}
}
