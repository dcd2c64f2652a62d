package cycle

func top() {
	middle()
	middle()
	t{}.method()
}

type handler interface{ handle() }

func (t) used() {}
