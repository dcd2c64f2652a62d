package storetest_test

// faulty is a way in which a store can be subtly wrong, and the subtest that is meant
// to notice.
type faulty struct{ fault, subtest string }

// storeFaults are those of a Store.
var storeFaults = []faulty{
	{"attempts count from zero", "claim of a new key"},
	{"RetryIn is missing", "claim while in progress"},
	{"RetryIn is the whole lease", "retry in"},
	{"RetryIn is the caller's lease", "retry in"},
	{"keys are cut at 16 bytes", "keys are apart"},
	{"Done is reported as InProgress", "done is never claimed"},
	{"Complete keeps for a year at most", "keep of a century"},
	{"handles share nothing", "two handles"},
	{"Claim ignores the context", "canceled context"},
	{"Complete ignores the context", "canceled context"},
	{"Release ignores the context", "canceled context"},

	{"a repeated claim is in progress", "same token again"},
	{"a repeated claim is a new attempt", "same token again"},
	{"a repeated claim keeps the old expiry", "same token again"},
	{"a late repeated claim is a new attempt", "same token after the lease"},
	{"a repeated claim is a new attempt", "same token at once"},
	{"Claim is check-then-set", "same token at once"},
	{"a claim after Release repeats the one before", "same token after release"},
	{"a claim with the completing token is Acquired", "same token after complete"},
	{"a claim with an earlier token is Acquired", "same token after a takeover"},
	{"a token has one key", "same token for two keys"},
	{"tokens are lowercased", "tokens are apart"},
	{"tokens are cut at 32 bytes", "tokens are apart"},

	{"Complete ignores a stale token", "stale token"},
	{"Release ignores a stale token", "stale token"},
	{"Complete accepts any token after two expired leases", "token after two expired leases"},
	{"Release accepts any token after two expired leases", "token after two expired leases"},
	{"Complete accepts an empty token", "wrong token"},
	{"Release accepts an empty token", "wrong token"},
	{"late Complete is refused", "late complete"},
	{"late Release is refused", "late release"},
	{"late Release forgets the count", "late release"},
	{"a repeated Complete is refused", "complete twice"},
	{"Release forgets the count", "release"},
	{"Release after Complete succeeds", "release after complete"},
	{"Release after Complete frees the key", "release after complete"},

	{"leases end at half time", "takeover after the lease, not before"},
	{"leases are rounded down to seconds", "sub-second lease"},
	{"leases are rounded up to seconds", "sub-second lease"},
	{"Complete keeps for the lease of the claim", "done outlives the lease"},
	{"Complete keeps for half the keep", "done ends after keep"},
	{"keep is counted from the claim", "keep counts from complete"},
	{"a repeated Complete moves the expiry", "repeated complete keeps the expiry"},
	{"leases end with keep", "lease longer than keep"},
	{"claims expire at keep although the lease is longer", "lease longer than keep"},
	{"takeovers expire at keep although the lease is longer", "lease longer than keep"},
	{"takeovers do not extend the expiry", "each claim extends the expiry"},
	{"claims after Release do not extend the expiry", "each claim extends the expiry"},
	{"claims are forgotten with their lease", "a key is remembered after its lease"},
	{"claims are forgotten a second after their lease", "a key is remembered after its lease"},
	{"Release is forgotten after a second", "a key is remembered after its lease"},

	{"an expired key takes the oldest with it", "mixed keeps"},
	{"the oldest done is evicted first", "bounded evicts what has expired"},
	{"the newest done is evicted", "bounded evicts in order"},
	{"done is evicted before released", "bounded evicts in order"},
	{"keys in progress are evicted", "bounded keeps what is in progress"},

	{"keys are lowercased", "hostile keys"},
	{"keys are cut at 256 bytes", "long keys"},
	{"keys end at a NUL", "nul in a key"},

	{"Claim is check-then-set", "one winner"},
	{"every tenth second claim wins", "one winner"},
	{"Complete is check-then-set", "complete against a takeover"},
	{"Complete is check-then-set", "complete against release"},
	{"Release is check-then-set", "release against a takeover"},
	{"Release is check-then-set", "complete against release"},

	{"a gone backend is taken for an empty one", "gone"},
	{"Complete of a gone backend is a lost lease", "gone"},
	{"Release of a gone backend is a lost lease", "gone"},
	{"Claim of a gone backend ignores the context for 9 s", "gone"},
	{"Complete of a gone backend ignores the context for 9 s", "gone"},
	{"Release of a gone backend ignores the context for 9 s", "gone"},
	{"Renew of a gone backend ignores the context for 9 s", "gone"},

	{"Renew does nothing", "renew extends the lease"},
	{"Renew counts an attempt", "renew extends the lease"},
	{"Renew leaves the expiry", "renew keeps the entry"},
	{"Renew keeps the entry for the lease only", "renew does not shorten keep"},
	{"late Renew is refused", "late renew"},
	{"Renew ignores a stale token", "renew with a stale token"},
	{"Renew accepts an empty token", "renew with a stale token"},
	{"Renew of a completed key succeeds", "renew with a stale token"},
	{"Renew is check-then-set", "renew against a takeover"},
	{"Renew ignores the context", "renew with a canceled context"},
}

// slowStoreFaults are those that the suite notices after 20 seconds of the store's
// time, so their stores have a clock that the suite moves.
var slowStoreFaults = []faulty{
	{"a repeated claim keeps the old lease", "same token again"},
	{"a repeated Complete extends the expiry", "repeated complete keeps the expiry"},
	{"Renew adds to the lease", "renew counts from now"},
}

// transactorFaults are those of a Transactor.
var transactorFaults = []faulty{
	{"Transact makes no mark", "commits"},
	{"handles share nothing", "commits"},
	{"Transact drops the context's values", "passes context values"},
	{"Transact drops the context's end", "passes context values"},
	{"Transact is check-then-set", "runs once under races"},
	{"Transact ignores transactions", "runs once under races"},
	{"Transact waits for another", "does not wait for another"},
	{"a transaction is known to its own handle only", "does not wait for another"},
	{"Transact keeps for half the keep", "done ends after keep"},
	{"Transact ignores claims", "respects claims"},
	{"Transact runs what is done", "respects claims"},
	{"Claim takes the key of a running transaction", "is respected by claims"},
	{"a transaction is known to its own handle only", "is respected by claims"},
	{"keys are lowercased", "hostile keys"},
	{"Transact ignores the context", "canceled context"},
	{"a gone backend is taken for an empty one", "gone"},
	{"Transact of a gone backend ignores the context for 9 s", "gone"},
	{"an error of Transact does not wrap ErrStore", "gone"},

	{"Transact commits on error", "rolls back on error"},
	{"Transact rolls back no writes", "rolls back on error"},
	{"Transact takes the function's error for its own", "rolls back on error"},
	{"Transact commits on panic", "rolls back on panic"},
	{"Transact rolls back no writes", "rolls back on panic"},
	{"Transact swallows the panic", "rolls back on panic"},
	{"Transact commits on Goexit", "rolls back on Goexit"},
	{"Transact runs the function again on an error", "runs the function once"},
	{"Transact rolls back a permanent mark", "permanent"},
	{"Transact commits the writes of a permanent error", "permanent"},
	{"Transact looks at the outermost error only", "permanent inside another error"},
	{"Transact commits the mark alone after the end of the context", "canceled while it runs"},
	{"Transact commits on error", "canceled while it runs"},

	{"Transact does not notice that the transaction was ended", "notices that it was ended"},
	{"Transact does not notice that the transaction was restarted", "notices that it was ended"},
	{"Transact leaves the mark of a transaction that was ended", "notices that it was ended"},
	{"Transact leaves the mark of a transaction that was ended, after an error", "notices that it was ended"},
	{"Transact acknowledges a permanent error after the end", "notices that it was ended"},
	{"a repeated claim takes the key of a running transaction", "is respected by claims"},
	{"Transact leaves the token of the claim before", "respects claims"},
	{"a rolled back transaction is an attempt", "claims after a rollback"},
	{"Transact keeps for half the keep", "claims after keep"},
	{"Transact is check-then-set", "one winner of claims and transactions"},
	{"Claim is check-then-set", "one winner of claims and transactions"},
	{"Claim takes the key of a running transaction", "one winner of claims and transactions"},
}

// slowTransactorFaults are to transactorFaults what slowStoreFaults are to
// storeFaults.
var slowTransactorFaults = []faulty{
	{"the mark of Transact outlives its keep after a claim", "claims after keep"},
}
