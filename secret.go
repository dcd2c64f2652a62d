package geminihook

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

const (
	secretPrefix     = "whsec_"
	publicKeyPrefix  = "whpk_"
	privateKeyPrefix = "whsk_"
	minSecret        = 16 // bytes; the specification asks senders for 24 to 64
)

// Secret is the signing secret of a static webhook or of a [Binding]. In fmt,
// slog, JSON and text it shows only its [Secret.Name]. The zero Secret matches no
// signature.
type Secret struct{ s *secret }

// secret keeps the key only in the closure that makes MAC states, where
// reflection does not find it: fmt and testing libraries print the unexported
// fields of a struct that holds a Secret without asking Secret's methods.
type secret struct {
	name      string
	macs      sync.Pool // of *mac
	guessable bool      // anyone may know the key
}

// mac is the working memory of one verification.
type mac struct {
	hash    hash.Hash
	signed  [512]byte // as many of the signed bytes as fit: one Write for a typical event
	sum     [sha256.Size]byte
	encoded [44]byte // sum in base64
}

// ParseSecret reads a signing secret as Google shows it once, when a webhook is
// created or its secret is rotated: "whsec_" followed by base64, or base64
// alone, in the standard or the URL alphabet, with or without padding. White
// space around it is ignored. It refuses keys shorter than 16 bytes and keys
// that are all zeros. The error says what is wrong and never shows the text.
func ParseSecret(s string) (Secret, error) {
	s = strings.TrimSpace(s)
	text := trimPrefix(s, secretPrefix)
	switch {
	case text == "":
		return Secret{}, errors.New("geminihook: secret is empty")
	case strings.Contains(strings.NewReplacer(`"`, "", "'", "").Replace(strings.ToLower(s)), "="+secretPrefix):
		return Secret{}, errors.New(`geminihook: secret has the name of a variable before it: remove everything before "whsec_"`)
	case strings.ContainsAny(s, "\"'`"):
		return Secret{}, errors.New("geminihook: secret is quoted: remove the quotation marks")
	case strings.Contains(s, ".."), strings.Contains(s, "…"):
		return Secret{}, errors.New("geminihook: secret is the truncated form that Google lists: " +
			"the whole secret is shown only when it is created or rotated; rotate it to get a new one")
	case strings.HasPrefix(s, "v1,"):
		return Secret{}, errors.New(`geminihook: secret starts with "v1,": remove everything before "whsec_"`)
	case trimPrefix(text, secretPrefix) != text:
		return Secret{}, errors.New(`geminihook: secret has the prefix "whsec_" twice`)
	case trimPrefix(text, publicKeyPrefix) != text, trimPrefix(text, privateKeyPrefix) != text:
		return Secret{}, errors.New(`geminihook: secret is an Ed25519 key ("whpk_" or "whsk_"), not a signing secret ("whsec_")`)
	case strings.Contains(text, ","):
		return Secret{}, errors.New("geminihook: secret has a comma: split a list and parse each secret by itself")
	}
	key, ok := decodeBase64(text)
	if !ok {
		return Secret{}, errors.New("geminihook: secret is not base64")
	}
	return newSecret(key, text)
}

// NewSecret makes a Secret from a raw key, which it copies. It refuses a key
// shorter than 16 bytes and one that is all zeros.
func NewSecret(key []byte) (Secret, error) {
	return newSecret(bytes.Clone(key), base64.StdEncoding.EncodeToString(key))
}

func newSecret(key []byte, text string) (Secret, error) {
	if len(key) < minSecret {
		return Secret{}, fmt.Errorf("geminihook: secret is too short: %d bytes, at least %d are needed", len(key), minSecret)
	}
	if len(bytes.Trim(key, "\x00")) == 0 { // HMAC pads keys with zeros, so this is like the empty key
		return Secret{}, errors.New("geminihook: secret is all zeros")
	}
	s := &secret{name: secretPrefix + "..." + text[len(text)-4:], guessable: guessable(key)}
	s.macs.New = func() any { return &mac{hash: hmac.New(sha256.New, key)} }
	return Secret{s: s}, nil
}

func parseSecrets(texts []string) ([]Secret, error) {
	if len(texts) == 0 {
		return nil, errors.New("geminihook: no secret given: at least one is needed")
	}
	secrets := make([]Secret, len(texts))
	for i, text := range texts {
		var err error
		if secrets[i], err = ParseSecret(text); err != nil {
			return nil, fmt.Errorf("secret %d of %d: %w", i+1, len(texts), err)
		}
	}
	return secrets, nil
}

// published has the beginnings of keys in webhooktest, in this package's
// documentation and in the Standard Webhooks specification.
var published = []string{"geminihook-test-secret-", "a secret of your own, keep it", "1\xf2\x90\xf6\xbf\x06)\x8a"}

func guessable(key []byte) bool {
	return bytes.Count(key, key[:1]) == len(key) ||
		slices.ContainsFunc(published, func(start string) bool { return bytes.HasPrefix(key, []byte(start)) })
}

// sign stores the "v1" signature of the delivery in m.encoded.
func (m *mac) sign(d *delivery, body []byte) {
	m.hash.Reset()
	prefix := d.appendPrefix(m.signed[:0])
	n := copy(m.signed[len(prefix):], body)
	_, _ = m.hash.Write(m.signed[:len(prefix)+n]) // a hash never returns an error
	_, _ = m.hash.Write(body[n:])
	base64.StdEncoding.Encode(m.encoded[:], m.hash.Sum(m.sum[:0]))
}

// Name returns "whsec_..." and the last four characters of the secret, the form
// in which Google lists it. It is not secret. The zero Secret has no name.
func (s Secret) Name() string {
	return cmp.Or(s.s, &secret{}).name
}

// String returns the name.
func (s Secret) String() string { return s.Name() }

// Format writes the name, whatever the verb, so that no verb shows the key.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.Name()) }

// LogValue returns the name for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.Name()) }

// MarshalText returns the name for JSON and other encodings. There is no
// UnmarshalText.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.Name()), nil }

// decodeBase64 accepts the standard and the URL alphabet, padded or not.
func decodeBase64(s string) ([]byte, bool) {
	unpadded := strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	b, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(unpadded))
	return b, err == nil && !strings.ContainsAny(s, "\r\n") // which the decoder would skip
}

// trimPrefix is [strings.TrimPrefix] for a prefix in lower case that s may have in
// upper or lower case.
func trimPrefix(s, prefix string) string {
	if strings.HasPrefix(strings.ToLower(s), prefix) {
		return s[len(prefix):]
	}
	return s
}
