package cycle

func middle() {
	bottom[int]()
	bottom[string]()
}

type t struct{}

func (t) method() {}
