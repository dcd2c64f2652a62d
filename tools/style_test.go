package tools_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	maxLines    = 300 // of a file
	maxExported = 86  // top-level names of the root package
)

// TestFileLength: no file of code is so long that it has more than one subject.
func TestFileLength(t *testing.T) {
	for _, pattern := range []string{"*.go", "*.js", "*.css", "*.html", "*.sql"} {
		for _, name := range files(t, ".", pattern) {
			if exempt(name) {
				continue
			}
			lines := strings.Count(read(t, name), "\n")
			assert.LessOrEqual(t, lines, maxLines, "lines of %s", name)
		}
	}
}

// TestLineLength: overlong says which lines are too long.
func TestLineLength(t *testing.T) {
	for _, name := range goFiles(t) {
		for _, line := range overlong(t, name, read(t, name)) {
			t.Errorf("%s:%d: the line has more than %d columns", name, line, maxColumns)
		}
	}
}

// TestSleeps: a test that sleeps is slow on an idle machine, and fails on a busy one.
func TestSleeps(t *testing.T) {
	for _, name := range goFiles(t) {
		sleeps := strings.Contains(read(t, name), "time."+"Sleep(")
		assert.False(t, sleeps && strings.HasSuffix(name, "_test.go"), "%s sleeps", name)
	}
}

// TestExportedNames: every exported name must be kept, so there are few.
func TestExportedNames(t *testing.T) {
	var names []string
	for _, name := range files(t, ".", "*.go") {
		if path.Dir(name) == "." && !strings.HasSuffix(name, "_test.go") {
			names = append(names, exportedNames(t, name, read(t, name))...)
		}
	}
	fmt.Printf("exported top-level names of the root package: %d of at most %d\n", len(names),
		maxExported)
	assert.LessOrEqual(t, len(names), maxExported, "exported names: %v", names)
}

// exportedNames returns the exported names that a file declares at its top level.
func exportedNames(t *testing.T, name, source string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
	require.NoError(t, err)
	var names []string
	add := func(ident *ast.Ident) {
		if ident.IsExported() {
			names = append(names, ident.Name)
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				add(decl.Name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add(spec.Name)
				case *ast.ValueSpec:
					for _, ident := range spec.Names {
						add(ident)
					}
				}
			}
		}
	}
	return names
}

// TestWords: comments and guides avoid the phrases that readers stop at, and
// spell as Americans do.
func TestWords(t *testing.T) {
	for _, name := range append(goFiles(t), files(t, ".", "*.md")...) {
		for i, line := range strings.Split(read(t, name), "\n") {
			if _, comment, found := strings.Cut(line, "//"); found {
				line = comment
			} else if strings.HasSuffix(name, ".go") {
				continue
			}
			if phrase := avoided.FindString(line); phrase != "" {
				t.Errorf("%s:%d: %q stops the reader", name, i+1, phrase)
			}
		}
	}
}

var avoided = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`\banswers? (with )?(a )?[1-5]\d\d\b`, // responds with 503
	`\bwhere (there is none|it is missing)\b`,
	`\bbe it \w+ or not\b`,
	`\bbut for an? `, // except for
	`\bthe end of time\b`,
	`\b(makes|make) it well again\b`,
	`\b(colour|behaviour|honour|favour|neighbour|catalogue|licence)`,
	`\b(\w+alise|recognise|organise|analyse|initialise|serialise)[ds]?\b`,
	`\b(unmarshalling|marshalling|modelling|cancelling|labelled)\b`,
}, "|"))

// goFiles returns the names of the Go files that people write.
func goFiles(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, name := range files(t, ".", "*.go") {
		if !exempt(name) && !generated.MatchString(read(t, name)) {
			names = append(names, name)
		}
	}
	return names
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// exempt reports whether a file is data for tests.
func exempt(name string) bool { return strings.Contains("/"+name, "/testdata/") }
