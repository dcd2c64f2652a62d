package storetest

import (
	"fmt"
	"strings"

	"github.com/geminihook/geminihook"
)

// keyBehaviors are about the text of keys.
var keyBehaviors = []behavior{
	{
		name: "hostile keys", test: hostileKeys,
		why: "The sender chooses the webhook-id: no case folding, no trimming, no pattern, no encoding.",
	},
	{
		name: "long keys", test: longKeys,
		why: "Two events whose keys are cut to the same text are one event to the store, and the second is lost.",
	},
	{
		name: "nul in a key", test: nulKey,
		why: "No header holds a NUL. A store may refuse such a key, but must not take it for another.",
	},
}

// keys are what a stranger may send and what a program may put before it, each
// a different key.
func keys() []string {
	all := []string{
		strings.Repeat("m", 256),
		strings.Repeat("m", 255) + "n",
		"Msg_1", "msg_1", "MSG_1", "msg_1 ", " msg_1", "msg-1", "msg_1_", "msg_", "msg%", "msg__",
		"{msg}:1", "{msg}", "{}", "{", "*", "?", "[a-z]*", "%", "%s", "%%", "%d%n", "_",
		"'; DROP TABLE geminihook; --", `"`, `\`, `\\`, `\x00`, `\0`,
		"$1", ":1", "?1", "..", "/", "../../etc/passwd",
		"1", "01", "1.0", "1e0", "0x1", "true", "null", "NaN",
		"app/\tmsg", "é", "e\u0301", "\xe9", "\xff\xfe", "日本語", "\u200b",
	}
	for c := '!'; c <= '~'; c++ {
		all = append(all, "ascii-"+string(c))
	}
	return all
}

func hostileKeys(h *harness) {
	tokens := map[string]string{}
	for _, k := range keys() {
		c := h.mustAcquire(h.first, k, long, long)
		h.wantAttempt(1, c, fmt.Sprintf("for the new key %q", k))
		tokens[k] = c.Token
	}
	for i, k := range keys() {
		h.wantState(geminihook.InProgress, h.second, k, "while the lease of another runs")
		if i%2 == 0 {
			h.wantNoError(h.second.Complete(h.ctx, k, tokens[k], long),
				fmt.Sprintf("Complete of %q", k))
		} else {
			h.wantNoError(h.second.Release(h.ctx, k, tokens[k]), fmt.Sprintf("Release of %q", k))
		}
	}
	for i, k := range keys() {
		want := geminihook.Acquired
		if i%2 == 0 {
			want = geminihook.Done
		}
		h.wantState(want, h.first, k,
			"after every second key was completed and the others released")
	}
}

func longKeys(h *harness) {
	for _, length := range []int{128, 257, 320, 512, 1024} {
		same := strings.Repeat("m", length-1)
		for _, k := range []string{same + "1", same + "2", "1" + same, "2" + same} {
			if c := h.claim(h.first, k, long, long); c.State != geminihook.Acquired {
				h.t.Fatalf("Claim of a new key of %d bytes returned %s, want Acquired: it was taken for another that differs in one byte",
					length, c.State)
			}
			h.wantState(geminihook.InProgress, h.second, k,
				fmt.Sprintf("after a claim of a key of %d bytes", length))
		}
	}
}

func nulKey(h *harness) {
	h.mustAcquire(h.first, "msg", long, long)
	for _, k := range []string{"\x00", "msg\x00", "msg\x00x"} {
		c, err := h.first.Claim(h.ctx, k, "1", long, long)
		if err != nil {
			h.wantFailure(err, "Claim of a key with a NUL")
			if c != (geminihook.Claim{}) {
				h.t.Errorf("Claim of %q returned an error and %s", k, c.State)
			}
			h.wantFailure(h.first.Complete(h.ctx, k, "1", long), "Complete of a key with a NUL")
			h.wantFailure(h.first.Release(h.ctx, k, "1"), "Release of a key with a NUL")
			continue
		}
		if h.checkClaim(k, c, err); c.State != geminihook.Acquired {
			h.t.Errorf("Claim of the new key %q returned %s, want Acquired or an error", k, c.State)
		}
		h.wantState(geminihook.InProgress, h.first, k, "after a claim")
	}
	h.wantState(geminihook.InProgress, h.first, "msg", "after claims of keys with a NUL")
	h.mustAcquire(h.first, "other", long, long)
}
