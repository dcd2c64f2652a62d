package cycle

func otherHelper() { helper() }
