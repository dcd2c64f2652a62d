package cycle

func pong(h handler) {
	ping(h) // want `e.go calls ping of d.go, which closes a cycle of files`
	h.handle()
}
