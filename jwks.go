package geminihook

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// maxKeys bounds the usable keys, and also the unusable ones. When either bound
// is reached, the rest of the set is not read. Google publishes three keys.
const maxKeys = 16

// namedKey is a usable key with its "kid" or, if it has none, its thumbprint.
type namedKey struct {
	ed25519.PublicKey
	name string
}

// parseKeySet returns the Ed25519 keys of a JWK Set (RFC 7517, RFC 8037), and
// why others cannot be used. It is an error if there is no usable key.
func parseKeySet(body []byte) (keys []namedKey, unusable []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, nil, errors.New(`the key set is not JSON with a list "keys"`)
	}
	for i, text := range set.Keys {
		if len(keys) == maxKeys || len(unusable) == maxKeys {
			unusable = append(unusable, fmt.Sprintf("only the first %d of %d keys were read", i, len(set.Keys)))
			break
		}
		key, err := parseKey(text)
		if err != nil {
			unusable = append(unusable, fmt.Sprintf("key %d of %d %v", i+1, len(set.Keys), err))
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, unusable, errors.New("the key set has no usable Ed25519 key")
	}
	return keys, unusable, nil
}

// parseKey reads one JWK. The text of its errors continues a sentence about
// the key.
func parseKey(text json.RawMessage) (namedKey, error) {
	var jwk struct{ Kty, Crv, X, Use, Alg, Kid string }
	if json.Unmarshal(text, &jwk) != nil {
		return namedKey{}, errors.New("is not a JWK")
	}
	key, err := base64.RawURLEncoding.DecodeString(jwk.X)
	switch {
	case jwk.Kty != "OKP" || jwk.Crv != "Ed25519":
		return namedKey{}, errors.New(`does not have "kty" OKP and "crv" Ed25519`)
	case jwk.Use != "" && jwk.Use != "sig", jwk.Alg != "" && jwk.Alg != "EdDSA" && jwk.Alg != "Ed25519":
		return namedKey{}, errors.New(`has a "use" that is not "sig" or an "alg" that is not for Ed25519`)
	case err != nil:
		return namedKey{}, errors.New(`has an "x" that is not base64url without padding`)
	case checkKey(key) != nil:
		return namedKey{}, checkKey(key)
	}
	name := jwk.Kid
	if !validID(name) { // it goes into logs
		name = thumbprint(key)
	}
	return namedKey{PublicKey: key, name: name}, nil
}
