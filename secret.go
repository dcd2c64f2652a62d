package geminihook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"strings"
	"sync"
	"unicode"
)

const (
	secretPrefix     = "whsec_"
	publicKeyPrefix  = "whpk_"
	privateKeyPrefix = "whsk_"
	minSecret        = 24 // bytes; the specification asks senders for 24 to 64
)

// Secret is the signing secret of a static webhook or of a [Binding]. In fmt,
// slog, JSON and text it shows only its [Secret.Name]. The zero Secret matches no
// signature.
type Secret struct{ inner *secret }

// secret keeps the key only in the closure that makes MAC states, where
// reflection does not find it: fmt and testing libraries print the unexported
// fields of a struct that holds a Secret without asking Secret's methods.
type secret struct {
	name      string
	macs      sync.Pool // holds *mac
	published bool      // whether everybody can read the key
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
// space around it is ignored.
//
// It refuses keys shorter than 24 bytes, the minimum of Standard Webhooks 1.0.0,
// keys that are all zeros or repeat a pattern, and what is often mistaken for a
// secret although it may be base64: a secret with another or a damaged prefix, one
// that is encoded twice, quoted, or truncated to "whsec_...abcd" as Google lists
// it, a placeholder such as "your_webhook_secret", a Google API key, a UUID, and
// hexadecimal. The error says which it is and never shows the text. It refuses a
// random key with a probability of less than one in a million.
func ParseSecret(s string) (Secret, error) {
	secret, problem := parseSecret(strings.TrimSpace(s))
	if problem != "" {
		return Secret{}, errors.New("geminihook: secret " + problem)
	}
	return secret, nil
}

// ParseSecrets reads a list of secrets, each in a form that [ParseSecret] accepts,
// separated by commas or white space. During a rotation, put the newest first. It
// fails if the list has no secret or if one is refused.
func ParseSecrets(list string) ([]Secret, error) {
	secrets, problem := parseList(list)
	if problem != "" {
		return nil, errors.New("geminihook: " + problem)
	}
	return secrets, nil
}

// parseSecrets reads several lists for [ParseSecrets] into one.
func parseSecrets(lists []string) ([]Secret, error) {
	if len(lists) == 0 {
		return nil, errors.New("geminihook: no secret given: at least one is needed")
	}
	var all []Secret
	for i, list := range lists {
		secrets, problem := parseList(list)
		switch {
		case problem == "":
			all = append(all, secrets...)
		case len(lists) == 1:
			return nil, errors.New("geminihook: " + problem)
		default:
			return nil, fmt.Errorf("geminihook: argument %d of %d: %s", i+1, len(lists), problem)
		}
	}
	return all, nil
}

// parseList is [ParseSecrets], but returns the text of an error, or "" if there is none.
func parseList(list string) ([]Secret, string) {
	var secrets []Secret
	texts := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(texts) == 0 {
		return nil, "secret " + emptyText
	}
	for i, text := range texts {
		secret, problem := parseSecret(text)
		switch {
		case problem == "":
			secrets = append(secrets, secret)
		case len(texts) == 1:
			return nil, "secret " + problem
		default:
			return nil, fmt.Sprintf("secret %d of %d %s", i+1, len(texts), problem)
		}
	}
	return secrets, ""
}

// parseSecret is [ParseSecret], but in place of an error it returns what is wrong with
// the secret, in words that continue a sentence about it, or "" if nothing is.
func parseSecret(s string) (Secret, string) {
	if problem := notSecret(s); problem != "" {
		return Secret{}, problem
	}
	text := strings.TrimPrefix(s, secretPrefix)
	key, ok := decodeBase64(text)
	if !ok {
		return Secret{}, "is not base64: perhaps it was not copied completely"
	}
	if problem := notKey(key, text); problem != "" {
		return Secret{}, problem
	}
	return newSecret(key, text), ""
}

// NewSecret makes a Secret from a raw key, which it copies, for senders whose
// secret is a text or anything else than base64. It refuses a key shorter than 24
// bytes and one that is all zeros.
func NewSecret(key []byte) (Secret, error) {
	if problem := unusable(key); problem != "" {
		return Secret{}, errors.New("geminihook: secret " + problem)
	}
	return newSecret(bytes.Clone(key), base64.StdEncoding.EncodeToString(key)), nil
}

func newSecret(key []byte, text string) Secret {
	s := &secret{
		name:      secretPrefix + "..." + text[len(text)-4:],
		published: isPublished(key),
	}
	s.macs.New = func() any { return &mac{hash: hmac.New(sha256.New, key)} }
	return Secret{inner: s}
}

// published has the beginnings of keys in webhooktest, in this package's
// documentation and in the Standard Webhooks specification.
var published = []string{
	"geminihook-test-secret-",
	"a secret of your own, keep it",
	"1\xf2\x90\xf6\xbf\x06)\x8a",
}

func isPublished(key []byte) bool {
	for _, start := range published {
		if bytes.HasPrefix(key, []byte(start)) {
			return true
		}
	}
	return false
}

// warnOfPublished logs a line for each secret that everybody can read.
func warnOfPublished(logger *slog.Logger, secrets []Secret) {
	for _, secret := range secrets {
		if secret.inner.published {
			logger.Warn("gemini webhook: anyone can sign with this secret: it is published",
				"secret", secret)
		}
	}
}

// sign stores the "v1" signature of the delivery in m.encoded.
func (m *mac) sign(d *delivery, body []byte) {
	m.hash.Reset()
	prefix := d.appendPrefix(m.signed[:0])
	n := copy(m.signed[len(prefix):], body)       // as much of the body as fits
	_, _ = m.hash.Write(m.signed[:len(prefix)+n]) // a hash never returns an error
	_, _ = m.hash.Write(body[n:])
	base64.StdEncoding.Encode(m.encoded[:], m.hash.Sum(m.sum[:0]))
}

// Name returns "whsec_..." and the last four characters of the secret, the form
// in which Google lists it. It is not secret. The zero Secret has no name.
func (s Secret) Name() string {
	if s.inner == nil {
		return ""
	}
	return s.inner.name
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
