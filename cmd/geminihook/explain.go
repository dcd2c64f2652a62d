package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// explain tries what usually goes wrong between the sender and the receiver and
// says which of it makes the signature match.
func (v *verifierFlags) explain(ctx context.Context, e *env, verifier geminihook.Verifier, d *webhooktest.Delivery) (hints []string) {
	for _, change := range changes {
		if body := change.undo(d.Body); body != nil && !bytes.Equal(body, d.Body) {
			if _, err := verifier.Verify(ctx, d.Header, body); err == nil {
				hints = append(hints, "The signature matches "+change.what)
			}
		}
	}
	if len(hints) == 0 && v.rawSecret(e, d) {
		hints = append(hints, `The signature matches if the text of the secret is the key: the sender did not decode its base64.`)
	}
	return hints
}

// rawSecret tries the secret's text as the key, with and without its prefix.
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

// changes are what proxies, editors and frameworks do to a body, and how to
// take it back; nil where it cannot be.
var changes = []struct {
	what string
	undo func(body []byte) []byte
}{
	{"without the white space at the end of the body: something added it on the way.", func(b []byte) []byte {
		return bytes.TrimRight(b, " \t\r\n")
	}},
	{"with a newline at the end of the body: something removed it on the way.", func(b []byte) []byte {
		return append(bytes.Clone(b), '\n')
	}},
	{"with LF in place of CRLF: something changed the line ends on the way.", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	}},
	{"with CRLF in place of LF: something changed the line ends on the way.", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}},
	{"without the byte order mark: something put one in front of the body.", func(b []byte) []byte {
		return bytes.TrimPrefix(b, []byte("\ufeff"))
	}},
	{"with the JSON made compact: something decoded the body and encoded it again. Verify the raw body.", func(b []byte) []byte {
		var out bytes.Buffer
		if json.Compact(&out, b) != nil {
			return nil
		}
		return out.Bytes()
	}},
	{"with a space after each comma and colon: something decoded the body and encoded it again. Verify the raw body.", spaced},
	{"with the JSON's special characters as they are: something escaped them. Verify the raw body.", func(b []byte) []byte {
		return []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b)))
	}},
}

// spaced is compact JSON as Python writes it.
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
