package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// explain undoes what usually goes wrong between a sender and a receiver, and
// returns a sentence for each change that makes the signature match.
func (v *verifierFlags) explain(ctx context.Context, e *env, verifier geminihook.Verifier, d *webhooktest.Delivery) (hints []string) {
	for _, change := range changes {
		if body := change.undo(d.Body); body != nil && !bytes.Equal(body, d.Body) {
			if _, err := verifier.Verify(ctx, d.Header, body); err == nil {
				hints = append(hints, "The signature matches "+change.what)
			}
		}
	}
	if len(hints) == 0 && v.rawSecret(e, d) {
		hints = append(hints, "The signature matches if the text of the secret is used as the key: the sender did not decode its base64.")
	}
	return hints
}

// rawSecret reports whether the signature matches with the text of a secret as
// the key, with or without its prefix.
func (v *verifierFlags) rawSecret(e *env, d *webhooktest.Delivery) bool {
	all, err := secrets(v.secretFile, e)
	if err != nil {
		return false
	}
	for _, s := range all {
		for _, text := range []string{s, strings.TrimPrefix(s, "whsec_")} {
			key, err := geminihook.NewSecret([]byte(text))
			if err != nil {
				continue
			}
			h := &geminihook.HMAC{Secrets: []geminihook.Secret{key}, Tolerance: 1<<63 - 1}
			if _, err := h.Verify(context.Background(), d.Header, d.Body); err == nil {
				return true
			}
		}
	}
	return false
}

// changes lists what proxies, editors, and frameworks do to a body. Each undo
// returns the original body, or nil if the change cannot be undone.
var changes = []struct {
	what string
	undo func(body []byte) []byte
}{
	{"without the white space at the end of the body: something added it in transit.", func(b []byte) []byte {
		return bytes.TrimRight(b, " \t\r\n")
	}},
	{"with a newline at the end of the body: something removed it in transit.", func(b []byte) []byte {
		return append(bytes.Clone(b), '\n')
	}},
	{"with LF instead of CRLF: something changed the line endings in transit.", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	}},
	{"with CRLF instead of LF: something changed the line endings in transit.", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}},
	{"without the byte order mark: something added it in transit.", func(b []byte) []byte {
		return bytes.TrimPrefix(b, []byte("\ufeff"))
	}},
	{"with compact JSON: something decoded the body and encoded it again. Verify the raw body.", func(b []byte) []byte {
		var out bytes.Buffer
		if json.Compact(&out, b) != nil {
			return nil
		}
		return out.Bytes()
	}},
	{"with a space after each comma and colon: something decoded the body and encoded it again. Verify the raw body.", spaced},
	{"with <, >, and & unescaped in the JSON: something escaped them. Verify the raw body.", func(b []byte) []byte {
		return []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b)))
	}},
}

// spaced returns the JSON with a space after each comma and colon, as Python
// writes it, or nil if b is not JSON.
func spaced(b []byte) []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, b) != nil {
		return nil
	}
	var out []byte
	inString, escaped := false, false
	for _, c := range compact.Bytes() {
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}
