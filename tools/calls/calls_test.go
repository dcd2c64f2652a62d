package main

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

// TestCalls: the comments "want" in testdata say what is reported, and nothing
// else is.
func TestCalls(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), analyzer, "cycle", root)
}
