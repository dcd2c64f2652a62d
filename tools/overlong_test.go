package tools_test

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const maxColumns = 100 // a tab counts as 4

// overlong returns the numbers of the lines that have more than maxColumns. Two
// kinds of lines are exempt: those on which nothing but a string literal, and
// punctuation behind it, stands beyond that; and, in tests, the rows of tables:
// elements of a composite literal that are composite literals themselves, and the
// pairs of a map literal below its first line.
func overlong(t *testing.T, name, source string) []int {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	require.NoError(t, err)
	exempt := map[int]bool{}
	if strings.HasSuffix(name, "_test.go") {
		exempt = rows(fset, file)
	}
	beyond := tokensBeyond(source)
	var numbers []int
	for i, line := range strings.Split(source, "\n") {
		if columns(line) > maxColumns && !exempt[i+1] && !onlyText(beyond[i+1]) {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// columns returns the width of a text.
func columns(s string) int { return utf8.RuneCountInString(s) + 3*strings.Count(s, "\t") }

// rows returns the lines that are rows of tables.
func rows(fset *token.FileSet, file *ast.File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		table, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		_, isMap := table.Type.(*ast.MapType)
		for _, row := range table.Elts {
			value := row
			if pair, ok := row.(*ast.KeyValueExpr); ok {
				value = pair.Value
			}
			_, isRow := value.(*ast.CompositeLit)
			begin, end := fset.Position(row.Pos()).Line, fset.Position(row.End()).Line
			isPair := isMap && begin > fset.Position(table.Lbrace).Line
			if (isRow || isPair) && begin == end {
				lines[begin] = true
			}
		}
		return true
	})
	return lines
}

// tokensBeyond returns the tokens, by line, that end beyond maxColumns. A comment
// is a token; a raw string stands in each of its lines.
func tokensBeyond(source string) map[int][]token.Token {
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(source))
	lines := strings.Split(source, "\n")
	beyond := map[int][]token.Token{}
	var s scanner.Scanner
	s.Init(file, []byte(source), nil, scanner.ScanComments)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return beyond
		}
		if text == "\n" { // a semicolon that the language inserts
			continue
		}
		if text == "" {
			text = tok.String()
		}
		begin := file.Position(pos)
		column := begin.Column - 1 // in bytes
		for i, part := range strings.Split(text, "\n") {
			line := lines[begin.Line-1+i]
			end := min(column+len(part), len(line))
			if columns(line[:end]) > maxColumns {
				beyond[begin.Line+i] = append(beyond[begin.Line+i], tok)
			}
			column = 0
		}
	}
}

// onlyText reports whether the first token is a string and the others are
// punctuation.
func onlyText(tokens []token.Token) bool {
	for i, tok := range tokens {
		switch tok {
		case token.STRING:
			if i > 0 {
				return false
			}
		case token.RPAREN, token.RBRACK, token.RBRACE, token.LBRACE,
			token.COMMA, token.SEMICOLON, token.ADD:
			if i == 0 {
				return false
			}
		default:
			return false
		}
	}
	return len(tokens) > 0
}

func TestOverlong(t *testing.T) {
	text := strings.Repeat("x", 90)
	for _, tt := range []struct {
		name string
		file string
		line string
		want bool
	}{
		{"as long as it may be", "a.go", "// " + strings.Repeat("x", 97), false},
		{"a comment", "a.go", "// " + strings.Repeat("x", 98), true},
		{"letters of several bytes", "a.go", "// " + strings.Repeat("ä", 97), false},
		{"tabs", "a.go", "\t\t\tvar a" + text[:84] + " T", true},
		{"a text", "a.go", `var s, t = "", "` + text + `"`, false},
		{"a text and what closes it", "a.go", `var s = f(g("` + text + `"), "")[0]`, true},
		{"a text that goes on", "a.go", `var s = "` + text + text + `" + ` + "\n" + `""`, false},
		{"a text in a call", "a.go", `var s = f(g("` + text + `"))`, false},
		{"code behind a text", "a.go", `var s = "` + text + `" + more`, true},
		{"a text that begins too late", "a.go", "var " + text + `, other = 1, "a", "b"`, true},
		{"a text of several lines", "a.go", "var s = `\n" + text + text + "\n`", false},
		{"a row in a test", "a_test.go", "var rows = []row{\n{1, a, b, c, d, " + text + "},\n}", false},
		{"a row of a map in a test", "a_test.go", "var rows = map[string]row{\n\"name\": {1, a, b, " + text + "},\n}", false},
		{"a pair of a map in a test", "a_test.go", "var rows = map[string]*row{\n\"name\": &row{1, a, b, " + text + "},\n}", false},
		{"a pair of a map elsewhere", "a.go", "var rows = map[string]*row{\n\"name\": &row{1, a, b, " + text + "},\n}", true},
		{"a map on one line in a test", "a_test.go", "var rows = f(1, map[string]int{\"name\": " + text + "})", true},
		{"a row elsewhere", "a.go", "var rows = []row{\n{1, a, b, c, d, " + text + "},\n}", true},
		{"a call in a test", "a_test.go", "var rows = f(a, b, c, d, " + text + ")", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := overlong(t, tt.file, "package a\n"+tt.line+"\n")
			assert.Equal(t, tt.want, len(lines) > 0)
		})
	}
}
