package main

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

var analyzer = &analysis.Analyzer{
	Name: "calls",
	Doc: "report calls between files that go the wrong way\n\n" +
		"In the root package, calls go down the list of files. " +
		"In the others, files do not call each other in a cycle. Tests are not checked.",
	Run: run,
}

const root = "github.com/geminihook/geminihook"

// order is the list of the root package's files.
var order = []string{
	"webhook.go", "handler.go", "middleware.go", "serve.go", "once.go", "transact.go", "key.go",
	"run.go", "outcome.go", "binding.go", "keyset_status.go", "keyset.go", "keyset_fetch.go",
	"jwks.go", "secretfile.go", "secretfile_env.go", "verify.go", "publickey.go", "reasons.go",
	"secret.go", "secretform.go", "header.go", "events.go", "binary.go", "decode.go",
	"memorystore.go", "idempotency.go", "errors.go",
}

// edge is a pair of files of which one calls the other.
type edge struct{ caller, callee string }

// call is a use of a function or method, called or not, in another file than the
// one that declares it.
type call struct {
	pos      token.Pos
	function string
}

func run(pass *analysis.Pass) (any, error) {
	calls := callsBetweenFiles(pass)
	if pass.Pkg.Path() == root {
		reportUnlisted(pass)
		for e, list := range calls {
			if slices.Index(order, e.caller) > slices.Index(order, e.callee) {
				report(pass, e, list, "goes up the list of files")
			}
		}
		return nil, nil
	}
	for {
		e, ok := weakestOfCycle(calls)
		if !ok {
			return nil, nil
		}
		report(pass, e, calls[e], "closes a cycle of files")
		delete(calls, e)
	}
}

// report reports each call of an edge.
func report(pass *analysis.Pass, e edge, calls []call, fault string) {
	for _, c := range calls {
		pass.Reportf(c.pos, "%s calls %s of %s, which %s", e.caller, c.function, e.callee, fault)
	}
}

// reportUnlisted reports files that are not in the list.
func reportUnlisted(pass *analysis.Pass) {
	for _, file := range pass.Files {
		if name := fileOf(pass, file.Pos()); !isTest(name) && !slices.Contains(order, name) {
			pass.Reportf(file.Package, "%s is not in the list of files in tools/calls", name)
		}
	}
}

func callsBetweenFiles(pass *analysis.Pass) map[edge][]call {
	calls := map[edge][]call{}
	for _, file := range pass.Files {
		caller := fileOf(pass, file.Pos())
		if isTest(caller) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			ident, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			function, ok := pass.TypesInfo.Uses[ident].(*types.Func)
			if !ok || function.Pkg() != pass.Pkg {
				return true
			}
			e := edge{caller: caller, callee: fileOf(pass, function.Origin().Pos())}
			if e.callee != caller {
				calls[e] = append(calls[e], call{pos: ident.Pos(), function: function.Name()})
			}
			return true
		})
	}
	return calls
}

// fileOf returns the name of the file that has a position.
func fileOf(pass *analysis.Pass, pos token.Pos) string {
	return filepath.Base(pass.Fset.Position(pos).Filename)
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// weakestOfCycle returns the edge of a cycle that has the fewest calls. It
// returns false if there is no cycle.
func weakestOfCycle(calls map[edge][]call) (edge, bool) {
	edges := slices.SortedFunc(maps.Keys(calls), func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.caller, b.caller), cmp.Compare(a.callee, b.callee))
	})
	for _, e := range edges {
		if cycle := path(edges, e.callee, e.caller, map[string]bool{}); cycle != nil {
			return slices.MinFunc(append(cycle, e), func(a, b edge) int {
				return cmp.Compare(len(calls[a]), len(calls[b]))
			}), true
		}
	}
	return edge{}, false
}

// path returns edges that lead from one file to another, or nil.
func path(edges []edge, from, to string, visited map[string]bool) []edge {
	visited[from] = true
	for _, e := range edges {
		if e.caller != from {
			continue
		}
		if e.callee == to {
			return []edge{e}
		}
		if visited[e.callee] {
			continue
		}
		if rest := path(edges, e.callee, to, visited); rest != nil {
			return append(rest, e)
		}
	}
	return nil
}
