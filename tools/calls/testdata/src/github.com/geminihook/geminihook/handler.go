package geminihook

func handler() { fail() }
