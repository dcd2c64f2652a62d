package cycle

func bottom[T any]() {
	f := t.used // want `c.go calls used of a.go, which closes a cycle of files`
	_ = f
}
