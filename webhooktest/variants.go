package webhooktest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"time"
)

// The variants below have a signature from the delivery's own signers, so that
// a receiver refuses them for the fault they are named after and for no other.
// They panic if the delivery has none: it would be refused in any case, and the
// test would prove nothing.

// Tampered returns a copy with one byte of the body changed and the original
// signature. It panics if the delivery is not signed. A [Sender] sends the copy
// as it is.
func (d *Delivery) Tampered() *Delivery {
	if d.Header.Get("webhook-signature") == "" {
		panic("webhooktest: Tampered: the delivery is not signed, so it would be refused in any case: pass a Signer to New or call Sign")
	}
	c := d.Clone()
	c.faulty = true
	if len(c.Body) == 0 {
		c.Body = []byte{' '}
		return c
	}
	c.Body[len(c.Body)/2] ^= 1
	return c
}

// Stale returns a copy signed with a timestamp one hour in the past, outside
// the default tolerance. It panics if the delivery has no signers. A [Sender]
// sends the copy as it is.
func (d *Delivery) Stale() *Delivery { return d.shifted("Stale", -time.Hour) }

// Future returns a copy signed with a timestamp one hour in the future. It
// panics if the delivery has no signers. A [Sender] sends the copy as it is.
func (d *Delivery) Future() *Delivery { return d.shifted("Future", time.Hour) }

// shifted returns a copy signed with a timestamp that differs from now.
func (d *Delivery) shifted(variant string, by time.Duration) *Delivery {
	c := d.signed(variant).Sign(time.Now().Add(by))
	c.faulty = true
	return c
}

// WrongSecret returns a copy signed with fresh keys that no receiver knows, one
// for each of the delivery's signers and of the same scheme. It panics if the
// delivery has no signers. A [Sender] sends the copy as it is.
func (d *Delivery) WrongSecret() *Delivery {
	c := d.signed("WrongSecret")
	wrong := make([]Signer, len(c.signers))
	for i, s := range c.signers {
		wrong[i] = stranger(s)
	}
	c.Sign(time.Now(), wrong...)
	c.faulty = true
	return c
}

// stranger returns a signer of the same scheme with a fresh key.
func stranger(s Signer) Signer {
	if !strings.HasPrefix(s.Sign("msg", time.Now(), nil), "v1a,") {
		return Static(RandomSecret())
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic("webhooktest: WrongSecret: " + err.Error())
	}
	return Dynamic(key)
}

// Oversized returns a signed copy whose body is longer than n bytes. The body
// is padded with white space, so that it is still valid JSON. It panics if the
// delivery has no signers.
func (d *Delivery) Oversized(n int) *Delivery {
	c := d.signed("Oversized")
	missing := max(1, n+1-len(c.Body))
	c.Body = append(c.Body, bytes.Repeat([]byte{' '}, missing)...)
	return c.Sign(time.Now())
}

// Rotated returns a copy signed by two signers, as during the rotation of a
// secret: webhook-signature has an entry from each.
func (d *Delivery) Rotated(old, fresh Signer) *Delivery {
	return d.Clone().Sign(time.Now(), old, fresh)
}

// signed returns a copy, or panics if the delivery has no signers.
func (d *Delivery) signed(variant string) *Delivery {
	if len(d.signers) == 0 {
		panic("webhooktest: " + variant + ": the delivery has no signers, so it would be refused in any case: pass a Signer to New or call Sign")
	}
	return d.Clone()
}
