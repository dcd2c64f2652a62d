package cycle

// Two files that call each other.
func ping(h handler) { pong(h); pong(h) }

func (t) handle() {}
