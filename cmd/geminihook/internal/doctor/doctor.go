// Package doctor finds out what is wrong with a webhook, its secrets, and its
// endpoint, and says what to do.
package doctor

import (
	"regexp"
	"strings"
)

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
	Text  string `json:"text"`          // what was found
	Do    string `json:"do,omitempty"`  // what to do about it
	Run   string `json:"run,omitempty"` // a command for that, as a line of a shell
}

func ok(check, text string) Result { return Result{Check: check, Level: OK, Text: text} }

func warning(check, text, do string, command ...string) Result {
	return Result{Check: check, Level: Warning, Text: text, Do: do, Run: Shell(command...)}
}

func failure(check, text, do string, command ...string) Result {
	return Result{Check: check, Level: Failure, Text: text, Do: do, Run: Shell(command...)}
}

// Shell returns the words as a line of a POSIX shell. It quotes those that the
// shell would not take as they are, such as a URL with "&" in it.
func Shell(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; !plainWord.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+:,./-]+$`)
