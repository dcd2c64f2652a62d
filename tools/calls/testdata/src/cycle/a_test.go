package cycle

func helper() { ping(t{}) }
