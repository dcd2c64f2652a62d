package explain

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// maxBody bounds what is decompressed, in bytes. An event has a few hundred.
const maxBody = 1 << 20

// change is something that is done to a body on its way. Its undo returns the
// original, or nil if the body does not look as if it was changed so.
type change struct {
	step
	undo func(body []byte) []byte
}

// wrappings put the body into something else. They come in any combination of
// two.
var wrappings = []change{
	{step{
		Base64, "decoding the body from base64",
		"an adapter encoded the body, as those for serverless platforms do, or did not decode it; decode it before it is verified",
	}, fromBase64},
	{step{
		Quoted, "decoding the body from a JSON string",
		"something put the body into JSON as a string, as queues and logs do; decode the string before the body is verified",
	}, func(b []byte) []byte {
		var s string
		if json.Unmarshal(b, &s) != nil {
			return nil
		}
		return []byte(s)
	}},
	{step{
		Compressed, "decompressing the body",
		"something compressed it; decompress it before it is verified",
	}, decompress},
}

// touches change the body a little. At most one of them is undone.
var touches = []change{
	{step{
		WhiteSpace, "removing a trailing newline or other white space from the body",
		"something added it, such as a shell, an editor, or a template; verify the body as it arrives",
	}, func(b []byte) []byte { return bytes.TrimRight(b, " \t\r\n") }},
	{step{
		WhiteSpace, "adding a trailing newline to the body",
		"something removed it; verify the body as it arrives",
	}, func(b []byte) []byte { return append(bytes.Clone(b), '\n') }},
	{step{
		BOM, "removing a byte order mark from the body",
		"something added it, such as an editor or a text encoder; verify the body as it arrives",
	}, func(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\ufeff")) }},
	{step{
		BOM, "adding a byte order mark to the body",
		"something removed it, such as a text decoder; verify the body as it arrives",
	}, func(b []byte) []byte { return append([]byte("\ufeff"), b...) }},
	{step{
		LineEndings, "changing CRLF to LF in the body",
		"something changed the line endings; verify the body as it arrives",
	}, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }},
	{step{
		LineEndings, "changing LF to CRLF in the body",
		"something changed the line endings; verify the body as it arrives",
	}, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }},
	{step{
		NUL, "removing NUL from the end of the body",
		"something added it, such as a program in C; verify the body with its length",
	}, func(b []byte) []byte { return bytes.TrimRight(b, "\x00") }},
	{step{
		Escapes, `replacing \/ by / in the body`,
		`something decoded the JSON and encoded it again, and writes "/" in another way; verify the body as it arrives`,
	}, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`\/`), []byte("/")) }},
	{step{
		Escapes, "replacing the escapes of <, >, and & in the body",
		"something decoded the JSON and encoded it again, and escapes these for HTML; verify the body as it arrives",
	}, func(b []byte) []byte {
		unescape := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")
		return []byte(unescape.Replace(string(b)))
	}},
}

// searchBodies unwraps the body and undoes small changes.
func searchBodies(c *checker, heads []head, d Delivery, _ []Delivery) (match, bool) {
	for _, unwrapped := range unwrap(d.Body) {
		if found, ok := c.find(heads, unwrapped); ok {
			return found, true
		}
		for _, t := range touches {
			body := t.undo(unwrapped.body)
			if body == nil || bytes.Equal(body, unwrapped.body) {
				continue
			}
			if found, ok := c.find(heads, unwrapped.then(body, t.step)); ok {
				return found, true
			}
		}
	}
	return match{}, false
}

// unwrap returns the body and what may be inside it.
func unwrap(body []byte) []candidate {
	all := []candidate{{body: body}}
	for depth, from := 0, 0; depth < 2; depth++ {
		to := len(all)
		for _, c := range all[from:to] {
			for _, w := range wrappings {
				if inside := w.undo(c.body); len(inside) > 0 {
					all = append(all, c.then(inside, w.step))
				}
			}
			if len(c.body) > maxReencoded {
				continue
			}
			for _, w := range conversions {
				text := w.undo(c.body)
				if len(text) > 0 && !bytes.Equal(text, c.body) {
					all = append(all, c.then(text, w.step))
				}
			}
		}
		from = to
	}
	return all
}

// then returns the candidate after one more step.
func (c candidate) then(body []byte, s step) candidate {
	return candidate{body, append(slices.Clone(c.steps), s)}
}

func fromBase64(b []byte) []byte {
	text := strings.Join(strings.Fields(string(b)), "") // it may be wrapped
	for _, e := range []*base64.Encoding{
		base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
	} {
		if decoded, err := e.DecodeString(text); err == nil {
			return decoded
		}
	}
	return nil
}

func decompress(b []byte) []byte {
	for _, open := range []func(io.Reader) (io.Reader, error){
		func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
	} {
		r, err := open(bytes.NewReader(b))
		if err != nil {
			continue
		}
		if inside, err := io.ReadAll(io.LimitReader(r, maxBody+1)); err == nil &&
			len(inside) <= maxBody {
			return inside
		}
	}
	return nil
}
