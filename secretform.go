package geminihook

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// Most texts that are mistaken for a signing secret are base64 by chance, because
// the URL alphabet has letters, digits, "-" and "_". A program that took one of
// them for a secret would start, and then refuse every delivery or, if the text is
// a well-known placeholder, accept a stranger's. So each kind is refused, in words
// that continue a sentence about the secret.
//
// No rule may refuse a random key. The likeliest ones to do so are those that look
// at four characters, "AIza" and "sec_": each applies to one random key in 64^4,
// which is 17 million.

const emptyText = "is empty: set it to the whsec_... that Google shows once, " +
	"when it creates a webhook or rotates its secret"

// notSecret returns what is wrong with a text that cannot be a secret, or "" if it
// may be one. A list has been split before: the first text of "export NAME=whsec_..."
// is "export", and that of "v1,whsec_..." is "v1".
func notSecret(s string) string {
	text := strings.TrimPrefix(s, secretPrefix)
	hasPrefix := text != s
	switch {
	case text == "":
		return emptyText
	case s == "export" || (!hasPrefix && isAssignment(s)):
		return `has the name of a variable before it: remove everything before "whsec_"`
	case strings.ContainsAny(s, "\"'`"):
		return "is quoted: remove the quotation marks"
	case strings.Contains(s, "..") || strings.Contains(s, "…"):
		return "is the truncated form that Google lists: " +
			"the whole secret is shown only when it is created or rotated; rotate it to get a new one"
	case s == "v1" || strings.HasPrefix(s, "v1,"):
		return `starts with "v1,", as signatures do: remove everything before "whsec_"`
	case strings.ContainsAny(s, ", \t\r\n"):
		return "has a comma or white space in it: ParseSecrets reads a list"
	case strings.Contains(text, secretPrefix) && hasPrefix:
		return `has the prefix "whsec_" twice`
	case strings.Contains(text, secretPrefix):
		return `has something before "whsec_": remove it`
	case hasPrefixFold(text, publicKeyPrefix) || hasPrefixFold(text, privateKeyPrefix):
		return `is an Ed25519 key ("whpk_" or "whsk_"), not a signing secret ("whsec_")`
	case !hasPrefix && hasOtherPrefix(s):
		return `has another prefix than "whsec_", or a damaged one: copy the secret again, or remove the prefix`
	case strings.HasPrefix(text, "AIza"):
		return `is a Google API key ("AIza..."), not the signing secret of a webhook ("whsec_...")`
	case isUUID(text):
		return "is a UUID, not the signing secret of a webhook"
	case isPlaceholder(text):
		return "is a placeholder: put the secret of your webhook in its place"
	}
	return ""
}

// notKey returns what is wrong with the key that a text decodes to, or "".
func notKey(key []byte, text string) string {
	if bytes.Contains(key, []byte(secretPrefix)) {
		return `is encoded in base64 twice: decode it once, so that it begins with "whsec_"`
	}
	if problem := unusable(key); problem != "" {
		return problem
	}
	switch {
	case isRepeated(key) || isRepeated([]byte(strings.TrimRight(text, "="))):
		return "is a repeated pattern, which anyone can guess"
	case consistsOf(strings.TrimPrefix(text, "0x"), hexDigits):
		return "is hexadecimal, but a secret is base64: encode the bytes in base64, or use NewSecret"
	}
	return ""
}

// unusable returns why HMAC is not secure with the key, or "".
func unusable(key []byte) string {
	if len(key) < minSecret {
		return fmt.Sprintf("is too short: %d bytes, at least %d are needed", len(key), minSecret)
	}
	// HMAC pads a key with zeros, so one of zeros is like the empty key.
	if len(bytes.Trim(key, "\x00")) == 0 {
		return "is all zeros"
	}
	return ""
}

// isAssignment reports whether s is of the form NAME=value, perhaps after "export".
// In base64, only another "=" can follow a "=".
func isAssignment(s string) bool {
	name, value, _ := strings.Cut(strings.TrimPrefix(s, "export "), "=")
	return consistsOf(name, lowerLetters+upperLetters+digits+"_") && strings.Trim(value, "=") != ""
}

// otherPrefixes are those of other senders and of people who type from memory, and
// "whsec_" without one or more of its characters. Behind such a prefix, a genuine
// secret would still be base64, and its name would end in the four characters that
// Google lists, so nobody would notice the mistake.
var otherPrefixes = []string{
	"hsec_", "wsec_", "whec_", "whsc_", "whse_", "sec_",
	"secret_", "signing_", "webhook_", "svix_",
}

func hasOtherPrefix(s string) bool {
	if hasPrefixFold(s, "whsec") { // "whsec", "whsec-", "whsecret_", "WHSEC_"
		return true
	}
	for _, prefix := range otherPrefixes {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

const (
	hexDigits    = "0123456789abcdefABCDEF"
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits       = "0123456789"
)

func consistsOf(s, characters string) bool { return s != "" && strings.Trim(s, characters) == "" }

// isUUID reports whether s is hexadecimal in groups of 8, 4, 4, 4 and 12 digits.
func isUUID(s string) bool {
	groups := strings.Split(s, "-")
	if len(s) != 36 || len(groups) != 5 {
		return false
	}
	for i, length := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != length || !consistsOf(groups[i], hexDigits) {
			return false
		}
	}
	return true
}

func isPlaceholder(s string) bool {
	for _, start := range []string{"your_", "your-", "replace", "changeme", "placeholder"} {
		if hasPrefixFold(s, start) {
			return true
		}
	}
	return strings.ContainsAny(s, "<>{}$") || isJoinedWords(s)
}

// isJoinedWords reports whether s consists of words of one case, perhaps with
// digits, that are joined by "_" or "-".
func isJoinedWords(s string) bool {
	const between = digits + "_-"
	oneCase := consistsOf(s, lowerLetters+between) || consistsOf(s, upperLetters+between)
	return oneCase && strings.ContainsAny(s, "_-")
}

// isRepeated reports whether b repeats a group of at most a third of its length,
// the last one perhaps cut.
func isRepeated(b []byte) bool {
	for n := 1; n <= len(b)/3; n++ {
		if bytes.Equal(b[n:], b[:len(b)-n]) { // each byte equals the one n before it
			return true
		}
	}
	return false
}

// decodeBase64 accepts the standard and the URL alphabet, but not a mixture of
// both, padded or not.
func decodeBase64(s string) ([]byte, bool) {
	encoding := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.URLEncoding
	}
	if !strings.HasSuffix(s, "=") {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	key, err := encoding.DecodeString(s)
	return key, err == nil && !strings.ContainsAny(s, "\r\n") // which the decoder would skip
}

// hasPrefixFold is [strings.HasPrefix] for a prefix in lower case that s may have
// in upper or lower case.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// trimPrefix is [strings.TrimPrefix] for a prefix in lower case that s may have in
// upper or lower case.
func trimPrefix(s, prefix string) string {
	if hasPrefixFold(s, prefix) {
		return s[len(prefix):]
	}
	return s
}
