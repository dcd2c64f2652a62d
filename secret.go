package geminihook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	secretPrefix = "whsec_"
	minSecret    = 16 // bytes; the specification asks senders for 24 to 64
)

// Secret is the signing secret of a static webhook. It shows only its name,
// "whsec_..." and the last four characters as Google lists it, in fmt, slog,
// JSON and text. The zero Secret matches no signature.
type Secret struct {
	s *secret
}

type secret struct {
	name string
	key  []byte

	// MAC states that wait for the next delivery: the one used last, and the
	// others, as many as were ever in use at once. (A sync.Pool would drop
	// them at every garbage collection.)
	last atomic.Pointer[mac]
	mu   sync.Mutex
	idle []*mac
}

// mac is what one verification needs and the next one uses again.
type mac struct {
	h       hash.Hash
	prefix  [maxID + 1 + maxTimestamp + 1]byte
	sum     [sha256.Size]byte
	encoded [44]byte // base64 of sum
}

// ParseSecret reads a signing secret as Google shows it, once, when a webhook
// is created or its secret rotated: "whsec_" and base64, or base64 alone, in
// the standard or the URL alphabet, with or without padding. White space
// around it is dropped. The error says what is wrong and never shows the text.
func ParseSecret(s string) (Secret, error) {
	s = strings.TrimSpace(s)
	text, _ := cutPrefixFold(s, secretPrefix)
	switch {
	case text == "":
		return Secret{}, errors.New("geminihook: secret is empty")
	case strings.ContainsAny(s, "\"'`"):
		return Secret{}, errors.New("geminihook: secret is quoted: remove the quotation marks")
	case strings.Contains(s, ".."), strings.Contains(s, "…"):
		return Secret{}, errors.New("geminihook: secret is the truncated form that Google lists: " +
			"the whole secret is shown only when it is created or rotated; rotate it to get a new one")
	case strings.HasPrefix(s, "v1,"):
		return Secret{}, errors.New(`geminihook: secret starts with "v1,": give the part from "whsec_" on`)
	case hasPrefixFold(text, secretPrefix):
		return Secret{}, errors.New(`geminihook: secret has the prefix "whsec_" twice`)
	case hasPrefixFold(text, publicKeyPrefix), hasPrefixFold(text, "whsk_"):
		return Secret{}, errors.New(`geminihook: secret is an Ed25519 key ("whpk_" or "whsk_"), not a signing secret ("whsec_")`)
	case strings.Contains(text, ","):
		return Secret{}, errors.New("geminihook: secret has a comma: split a list and parse each secret by itself")
	}
	key, ok := decodeBase64(text)
	if !ok {
		return Secret{}, errors.New("geminihook: secret is not base64")
	}
	return newSecret(key, secretPrefix+"..."+text[max(0, len(text)-4):])
}

// NewSecret makes a Secret of a raw key of at least 16 bytes, which it copies.
func NewSecret(key []byte) (Secret, error) {
	text := base64.StdEncoding.EncodeToString(key)
	return newSecret(bytes.Clone(key), secretPrefix+"..."+text[max(0, len(text)-4):])
}

func newSecret(key []byte, name string) (Secret, error) {
	if len(key) < minSecret {
		return Secret{}, fmt.Errorf("geminihook: secret is too short: %d bytes, at least %d are needed", len(key), minSecret)
	}
	if len(bytes.Trim(key, "\x00")) == 0 { // HMAC pads keys with zeros: this one is the same as none
		return Secret{}, errors.New("geminihook: secret is all zeros")
	}
	return Secret{&secret{name: name, key: key}}, nil
}

// decodeBase64 takes the standard or the URL alphabet, padded or not.
func decodeBase64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // which the decoders would pass over
		return nil, false
	}
	for _, enc := range []*base64.Encoding{
		base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
	} {
		if b, err := enc.DecodeString(s); err == nil {
			return b, true
		}
	}
	return nil, false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if hasPrefixFold(s, prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// borrow takes an idle MAC state or makes one.
func (s *secret) borrow() *mac {
	if m := s.last.Swap(nil); m != nil {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return &mac{h: hmac.New(sha256.New, s.key)}
	}
	m := s.idle[n-1]
	s.idle = s.idle[:n-1]
	return m
}

func (s *secret) giveBack(m *mac) {
	if s.last.CompareAndSwap(nil, m) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, m)
}

// sign leaves the v1 signature of the delivery in m.encoded.
func (m *mac) sign(d *delivery, body []byte) {
	m.h.Reset()
	_, _ = m.h.Write(d.appendPrefix(m.prefix[:0])) // a hash's Write returns no error
	_, _ = m.h.Write(body)
	base64.StdEncoding.Encode(m.encoded[:], m.h.Sum(m.sum[:0]))
}

// Name returns "whsec_..." and the last four characters of the secret, the
// form in which Google lists it. It is not secret. The zero Secret has none.
func (s Secret) Name() string {
	if s.s == nil {
		return ""
	}
	return s.s.name
}

// String returns Name.
func (s Secret) String() string { return s.Name() }

// Format writes Name whatever the verb, so that no verb shows the key.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.Name()) }

// LogValue returns Name, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.Name()) }

// MarshalText returns Name, for JSON and its like. There is no way back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.Name()), nil }
