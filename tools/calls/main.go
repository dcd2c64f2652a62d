// Calls checks which way the calls between the files of a package go. Go vet runs
// it, as "go vet -vettool=bin/calls ./...".
package main

import "golang.org/x/tools/go/analysis/unitchecker"

func main() { unitchecker.Main(analyzer) }
