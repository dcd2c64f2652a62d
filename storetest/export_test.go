package storetest

// StoreSubtests returns the names of the subtests of Suite.
func StoreSubtests() []string { return names(storeBehaviors()) }

// TransactorSubtests returns the names of the subtests of TransactorSuite.
func TransactorSubtests() []string { return names(transactorBehaviors()) }

func names(all []behavior) (names []string) {
	for _, b := range all {
		names = append(names, b.name)
	}
	return names
}
