// Package doctor finds out what is wrong with a webhook, its secrets, and its
// endpoint, and says what to do.
package doctor

// Level says how bad the finding of a check is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // works, but not as it should, or not for long
	Failure Level = "failure" // deliveries are lost, refused, or accepted from strangers
)

// Result is the finding of one check. Its texts may have anything in them that
// the network sent: escape them before they reach a terminal.
type Result struct {
	Check string `json:"check"` // the name of the check
	Level Level  `json:"level"`
	Text  string `json:"text"`         // what was found
	Do    string `json:"do,omitempty"` // what to do about it
}

func ok(check, text string) Result { return Result{Check: check, Level: OK, Text: text} }

func warning(check, text, do string) Result {
	return Result{Check: check, Level: Warning, Text: text, Do: do}
}

func failure(check, text, do string) Result {
	return Result{Check: check, Level: Failure, Text: text, Do: do}
}
