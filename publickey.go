package geminihook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ParsePublicKey reads an Ed25519 public key in the form of Standard Webhooks,
// "whpk_" followed by base64, or base64 alone. It refuses keys of small order,
// under which anyone can sign.
func ParsePublicKey(s string) (ed25519.PublicKey, error) {
	text := trimPrefix(strings.TrimSpace(s), publicKeyPrefix)
	key, ok := decodeBase64(text)
	switch {
	case trimPrefix(text, secretPrefix) != text || trimPrefix(text, privateKeyPrefix) != text:
		return nil, errors.New("geminihook: a secret was given, " +
			`but a public key ("whpk_") is needed`)
	case !ok:
		return nil, errors.New("geminihook: public key is not base64")
	}
	if err := checkPublicKey(key); err != nil {
		return nil, fmt.Errorf("geminihook: %w", err)
	}
	return key, nil
}

// smallOrder has the y coordinates of the points of small order, in every
// encoding and without the sign bit. Anyone can sign under such a key (RFC 8032,
// section 8, and "Taming the Many EdDSAs", table 1).
var smallOrder = []string{
	strings.Repeat("\x00", 32),
	"\x01" + strings.Repeat("\x00", 31),
	"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0" +
		"\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
	"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f" +
		"\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
	"\xec" + strings.Repeat("\xff", 30) + "\x7f",
	"\xed" + strings.Repeat("\xff", 30) + "\x7f",
	"\xee" + strings.Repeat("\xff", 30) + "\x7f",
}

// checkPublicKey tells why a public key cannot be used.
func checkPublicKey(key []byte) error {
	if len(key) != ed25519.PublicKeySize { // ed25519.Verify would panic
		return fmt.Errorf("the public key has %d bytes, but an Ed25519 key has %d",
			len(key), ed25519.PublicKeySize)
	}
	y := [ed25519.PublicKeySize]byte(key)
	y[31] &= 0x7f
	if slices.Contains(smallOrder, string(y[:])) {
		return errors.New("the public key is all zeros or another point of small order, " +
			"under which anyone can sign")
	}
	return nil
}

// thumbprint returns the RFC 7638 thumbprint of the key's JWK (RFC 8037).
func thumbprint(key ed25519.PublicKey) string {
	x := base64.RawURLEncoding.EncodeToString(key)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
