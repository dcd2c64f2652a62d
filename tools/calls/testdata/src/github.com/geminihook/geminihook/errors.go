package geminihook

func fail() {
	handler() // want `errors.go calls handler of handler.go, which goes up the list of files`
}
