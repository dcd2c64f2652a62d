package storetest

// Subtests returns the names of all subtests.
func Subtests() (names []string) {
	for _, b := range behaviors(true, true) {
		names = append(names, b.name)
	}
	return names
}
