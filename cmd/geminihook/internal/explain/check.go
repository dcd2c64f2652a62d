package explain

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/geminihook/geminihook"
)

// Bounds on the work for one delivery. An Ed25519 verification takes much longer
// than a MAC.
const (
	maxTries        = 50_000
	maxTriesEd25519 = 3_000
	maxHashed       = 128 << 20 // bytes
)

type verifyFunc = func(header http.Header, body []byte) (geminihook.Proof, error)

// checker verifies candidates at any time.
type checker struct {
	texts   []string // of the secrets
	secrets []geminihook.Secret
	dynamic verifyFunc // may be nil
	tries   int        // left
	slow    int        // tries left with dynamic
	bytes   int64      // left
	err     error      // of the first candidate, which is what arrived
}

func newChecker(ctx context.Context, keys Keys) *checker {
	c := &checker{texts: keys.Secrets, tries: maxTries, slow: maxTriesEd25519, bytes: maxHashed}
	if keys.Dynamic != nil {
		c.dynamic = func(header http.Header, body []byte) (geminihook.Proof, error) {
			return keys.Dynamic.Verify(ctx, header, body)
		}
	}
	for _, text := range keys.Secrets {
		if s, err := geminihook.ParseSecret(text); err == nil {
			c.secrets = append(c.secrets, s)
		}
	}
	return c
}

// candidate is a body that may be the original one.
type candidate struct {
	body  []byte
	steps []step
}

// find returns the first of the headers with which the candidate verifies.
func (c *checker) find(heads []head, b candidate) (match, bool) {
	for _, h := range heads {
		if proof, ok := c.verify(h.header, b.body, c.secrets); ok {
			return match{head: h, candidate: b, proof: proof}, true
		}
	}
	return match{}, false
}

// exhausted reports whether enough was tried.
func (c *checker) exhausted() bool { return c.tries <= 0 || c.slow <= 0 || c.bytes <= 0 }

// verify tries one candidate.
func (c *checker) verify(
	header http.Header, body []byte, secrets []geminihook.Secret,
) (geminihook.Proof, bool) {
	if c.exhausted() {
		return geminihook.Proof{}, false
	}
	c.tries--
	c.bytes -= int64(len(body))
	var proof geminihook.Proof
	err := geminihook.ErrSignature
	if len(secrets) > 0 { // without any, the verifier itself would fail
		static := &geminihook.HMAC{Secrets: secrets, Tolerance: math.MaxInt64}
		proof, err = static.Verify(context.Background(), header, body)
	}
	if err != nil && c.dynamic != nil && hasEntry(header, geminihook.SchemeEd25519) {
		if c.slow--; c.slow >= 0 {
			proof, err = c.dynamic(header, body)
		}
	}
	if c.err == nil {
		c.err = err
	}
	return proof, err == nil
}

// works reports whether the secrets or keys verify another delivery that
// arrived at the same place, so that they cannot be what is wrong.
func (c *checker) works(others []Delivery) bool {
	for _, o := range others {
		if _, ok := c.verify(o.Header, o.Body, c.secrets); ok {
			return true
		}
	}
	return false
}

// searchSecrets tries the text of each secret as the key, with and without its
// prefix.
func searchSecrets(c *checker, heads []head, d Delivery, _ []Delivery) (match, bool) {
	undecoded := step{
		RawSecret, "using the text of the secret as the key",
		"the sender did not decode the base64 of the secret, so it is not Gemini; have it decode what follows whsec_",
	}
	for _, text := range c.texts {
		for _, key := range []string{text, strings.TrimPrefix(text, "whsec_")} {
			secret, err := geminihook.NewSecret([]byte(key))
			if err != nil {
				continue
			}
			for _, h := range heads {
				if proof, ok := c.verify(h.header, d.Body, []geminihook.Secret{secret}); ok {
					return match{
						head: h, candidate: candidate{d.Body, []step{undecoded}}, proof: proof,
					}, true
				}
			}
		}
	}
	return match{}, false
}

// searchOthers tries the bodies of the other deliveries.
func searchOthers(c *checker, heads []head, d Delivery, others []Delivery) (match, bool) {
	for _, o := range others {
		s := step{
			OtherBody, "taking the body of " + o.Name,
			"the headers and the body are of two deliveries; something mixed them up, such as a buffer that is shared by requests",
		}
		if n := differing(d.Body, o.Body); n <= maxDiffering { // another delivery of the same event
			s.cause, s.why = Changed, fmt.Sprintf("the two bodies differ in %d of %d bytes, which something changed in this one",
				n, len(d.Body))
		}
		if found, ok := c.find(heads, candidate{o.Body, []step{s}}); ok {
			return found, true
		}
	}
	return match{}, false
}

// maxDiffering is the largest number of differing bytes for which one of two bodies
// counts as damaged. With more, it is the body of another event.
const maxDiffering = 4

// differing counts the bytes that differ. If the lengths differ, all of them do.
func differing(a, b []byte) (n int) {
	if len(a) != len(b) {
		return max(len(a), len(b), maxDiffering+1)
	}
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// names returns the names of the secrets.
func (c *checker) names() string {
	var names []string
	for _, s := range c.secrets {
		names = append(names, s.Name())
	}
	return strings.Join(names, ", ")
}
