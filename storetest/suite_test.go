package storetest_test

import (
	"os"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/storetest"
	"github.com/stretchr/testify/assert"
)

// mistakes are suites that would test less than they seem to, and what they are
// told.
var mistakes = []struct {
	name string
	run  func(t *testing.T)
	want string
}{
	{
		"no New", storetest.Suite{}.Run,
		"Suite.New is nil",
	},
	{
		"no second handle", storetest.Suite{New: storeSuite("").New}.Run,
		"Suite.Second is nil",
	},
	{
		"the first handle as the second", func(t *testing.T) {
			s := storeSuite("")
			s.Second = func(_ *testing.T, first geminihook.Store) geminihook.Store { return first }
			s.Run(t)
		},
		"Second returned the first handle",
	},
	{
		"no New of a transactor", storetest.TransactorSuite{}.Run,
		"TransactorSuite.New is nil",
	},
	{
		"no second handle of a transactor", func(t *testing.T) {
			s := transactorSuite("")
			s.Second = nil
			s.Run(t)
		},
		"TransactorSuite.Second is nil",
	},
	{
		"the first transactor as the second", func(t *testing.T) {
			s := transactorSuite("")
			s.Second = func(_ *testing.T, first geminihook.Transactor) geminihook.Transactor {
				return first
			}
			s.Run(t)
		},
		"Second returned the first handle",
	},
	{
		"no writes", func(t *testing.T) {
			s := transactorSuite("")
			s.Writes = nil
			s.Run(t)
		},
		"TransactorSuite.Writes is nil",
	},
	{
		"nothing to count", func(t *testing.T) {
			s := transactorSuite("")
			s.Writes = func(*testing.T, geminihook.Transactor) storetest.Writes {
				return storetest.Writes{}
			}
			s.Run(t)
		},
		"Writes needs both Write and Count",
	},
	{
		"a second handle that is no Store", func(t *testing.T) {
			s := transactorSuite("")
			s.Second = func(_ *testing.T, first geminihook.Transactor) geminihook.Transactor {
				return onlyTransactor{first.(*reference).second()}
			}
			s.Run(t)
		},
		"which is not a Store",
	},
}

type onlyTransactor struct{ geminihook.Transactor }

// TestMistake runs one of the mistakes, in a separate process.
func TestMistake(t *testing.T) {
	for _, m := range mistakes {
		if m.name == os.Getenv(faultVariable) {
			m.run(t)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			assert.Contains(t, runFailing(t, "^TestMistake$", m.name), m.want)
		})
	}
}

// TestOnlyTransactor tests a Transactor that is not a Store.
func TestOnlyTransactor(t *testing.T) {
	t.Parallel()
	s := transactorSuite("")
	s.New = func(*testing.T) geminihook.Transactor {
		return onlyTransactor{newReference("", time.Now)}
	}
	s.Second = func(_ *testing.T, first geminihook.Transactor) geminihook.Transactor {
		return onlyTransactor{first.(onlyTransactor).Transactor.(*reference).second()}
	}
	s.Writes = func(_ *testing.T, first geminihook.Transactor) storetest.Writes {
		r := first.(onlyTransactor).Transactor.(*reference)
		return storetest.Writes{Write: r.write, Count: r.count}
	}
	s.Run(t)
}
