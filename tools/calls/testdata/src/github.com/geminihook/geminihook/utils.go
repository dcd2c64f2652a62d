package geminihook // want `utils.go is not in the list of files in tools/calls`
