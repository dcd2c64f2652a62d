package geminihook

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// maxKeys bounds the usable keys, each of which may be tried for each delivery.
// Google publishes three.
const maxKeys = 16

// maxReasons bounds the reasons why keys cannot be used, which are logged.
const maxReasons = 16

// namedKey is a usable key with its "kid" or, if it has none, its thumbprint.
type namedKey struct {
	ed25519.PublicKey
	name string
}

// parseKeySet returns the first Ed25519 keys of a JWK Set (RFC 7517, RFC 8037), and
// why others cannot be used. It is an error if there is no usable key.
func parseKeySet(body []byte) (keys []namedKey, unusable []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, nil, errors.New(`the key set is not JSON with a list "keys"`)
	}
	more := 0
	for i, text := range set.Keys {
		if len(keys) == maxKeys {
			reason := fmt.Sprintf("key %d of %d and those after it are not read: at most %d are used",
				i+1, len(set.Keys), maxKeys)
			unusable = append(unusable, reason)
			break
		}
		key, err := parseKey(text)
		switch {
		case err == nil:
			keys = append(keys, key)
		case err == errOtherKind: // skipped: another kind is no mistake
		case len(unusable) < maxReasons:
			unusable = append(unusable, fmt.Sprintf("key %d of %d: %v", i+1, len(set.Keys), err))
		default:
			more++
		}
	}
	if more > 0 {
		unusable = append(unusable, fmt.Sprintf("%d more keys cannot be used", more))
	}
	if len(keys) == 0 {
		return nil, unusable, errors.New("the key set has no usable Ed25519 key")
	}
	return keys, unusable, nil
}

var (
	errNotObject = errors.New("a JWK must be a JSON object")
	errOtherKind = errors.New(`"kty" is not OKP or "crv" is not Ed25519`)
)

// parseKey reads one JWK.
func parseKey(text json.RawMessage) (namedKey, error) {
	if !bytes.HasPrefix(text, []byte("{")) {
		return namedKey{}, errNotObject
	}
	// The members are of any type, so that an unexpected one does not hide the others.
	var jwk struct{ Kty, Crv, X, Use, Alg, Kid any }
	if err := json.Unmarshal(text, &jwk); err != nil {
		return namedKey{}, err
	}
	if jwk.Kty != "OKP" || jwk.Crv != "Ed25519" {
		return namedKey{}, errOtherKind
	}
	if jwk.Use != nil && jwk.Use != "sig" {
		return namedKey{}, errors.New(`"use" is not "sig"`)
	}
	if jwk.Alg != nil && jwk.Alg != "EdDSA" && jwk.Alg != "Ed25519" {
		return namedKey{}, errors.New(`"alg" is not for Ed25519`)
	}
	x, _ := jwk.X.(string)
	key, err := base64.RawURLEncoding.DecodeString(x)
	if err != nil {
		return namedKey{}, errors.New(`"x" is not base64url without padding`)
	}
	if err := checkPublicKey(key); err != nil {
		return namedKey{}, err
	}
	name, _ := jwk.Kid.(string)
	if !validID(name) { // it goes into logs
		name = thumbprint(key)
	}
	return namedKey{PublicKey: key, name: name}, nil
}
