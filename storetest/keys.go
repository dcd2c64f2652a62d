package storetest

import (
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// keys are what a stranger may send and a program may put before it, each
// another key.
func keys() []string {
	all := []string{
		strings.Repeat("m", 256),
		strings.Repeat("m", 255) + "n",
		"Msg_1", "msg_1", "MSG_1", "msg_1 ", " msg_1", "msg-1", "msg_1_", "msg_", "msg%", "msg__",
		"{msg}:1", "{msg}", "{}", "{", "*", "?", "[a-z]*", "%", "%s", "%%", "%d%n", "_",
		"'; DROP TABLE geminihook; --", `"`, `\`, `\\`, `\x00`, `\0`, "$1", ":1", "?1", "..", "/", "../../etc/passwd",
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
		c := h.acquired(h.first, k, long)
		assert.Equal(h, 1, c.Attempt, "%q is taken for another", k)
		tokens[k] = c.Token
	}
	for i, k := range keys() {
		require.Equal(h, geminihook.InProgress, h.state(h.second, k), "%q", k)
		if i%2 == 0 {
			require.NoError(h, h.second.Complete(h.Context(), k, tokens[k], long), "%q", k)
		} else {
			require.NoError(h, h.second.Release(h.Context(), k, tokens[k]), "%q", k)
		}
	}
	for i, k := range keys() {
		want := geminihook.Acquired
		if i%2 == 0 {
			want = geminihook.Done
		}
		require.Equal(h, want, h.state(h.first, k), "%q", k)
	}
}

// nulKey: no header holds a NUL. A store refuses it with an error or takes it
// as it is; it never takes it for another key.
func nulKey(h *harness) {
	h.acquired(h.first, "msg", long)
	for _, k := range []string{"\x00", "msg\x00", "msg\x00x"} {
		c, err := h.first.Claim(h.Context(), k, long, long)
		if err != nil {
			failed(h.T, err)
			assert.Zero(h, c)
			failed(h.T, h.first.Complete(h.Context(), k, "1", long))
			failed(h.T, h.first.Release(h.Context(), k, "1"))
			continue
		}
		assert.Equal(h, geminihook.Acquired, c.State, "%q", k)
		assert.Equal(h, geminihook.InProgress, h.state(h.first, k), "%q", k)
	}
	assert.Equal(h, geminihook.InProgress, h.state(h.first, "msg"), "the store works on")
	h.acquired(h.first, "other", long)
}
