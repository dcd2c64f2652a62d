package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

// texts returns the secrets, of which -replay without -resign needs none.
func (f *sendFlags) texts(e *env) ([]string, error) {
	if f.asIs() {
		return nil, nil
	}
	return secrets(f.secretFile, e)
}

// signers returns a signer per secret or, with -dynamic, one with the key, whose
// key set it serves until stop is called.
func (f *sendFlags) signers(
	texts []string, e *env,
) (signers []webhooktest.Signer, stop func(), err error) {
	switch {
	case f.asIs():
		return nil, func() {}, nil
	case f.dynamic:
		return f.dynamicSigner(e)
	case len(texts) == 0:
		return nil, nil, &usageError{"no secret: set GEMINI_WEBHOOK_SECRET, or use -secret-file or -dynamic"}
	}
	for _, text := range texts {
		signers = append(signers, webhooktest.Static(text))
	}
	return signers, func() {}, nil
}

// dynamicSigner returns a signer with the key, whose key set it serves until stop is
// called.
func (f *sendFlags) dynamicSigner(e *env) (signers []webhooktest.Signer, stop func(), err error) {
	key, err := f.key()
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", f.jwks)
	if err != nil {
		return nil, nil, fmt.Errorf("serving the key set: %w", err)
	}
	set := webhooktest.JWKS(webhooktest.Public(key))
	serve := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(set)
	}
	server := &http.Server{
		Handler:      http.HandlerFunc(serve),
		ReadTimeout:  10 * time.Second,
		WriteTimeout: 10 * time.Second,
	}
	go func() { _ = server.Serve(l) }()
	if !f.json {
		fmt.Fprintf(e.out, "Set the receiver's KeySet.URL to http://%s/ while this runs.\n\n",
			l.Addr())
	}
	return []webhooktest.Signer{webhooktest.Dynamic(key)}, func() { _ = server.Close() }, nil
}

// key reads the key from -key-file or makes a fresh one.
func (f *sendFlags) key() (ed25519.PrivateKey, error) {
	if f.keyFile == "" {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	b, err := os.ReadFile(f.keyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM file; make a key with: openssl genpkey -algorithm ed25519",
			f.keyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := parsed.(ed25519.PrivateKey); ok && err == nil {
		return key, nil
	}
	return nil, errors.New(f.keyFile + " has no Ed25519 private key in PKCS #8; make one with: openssl genpkey -algorithm ed25519")
}

// asIs reports whether a recorded delivery is sent with its headers unchanged.
func (f *sendFlags) asIs() bool { return f.replay != "" && !f.resign }
