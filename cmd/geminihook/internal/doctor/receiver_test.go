package doctor_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook/webhooktest"
)

// shared is the secret that the receivers have, unless they have a hole there.
var shared = webhooktest.RandomSecret()

// holes are what is wrong with a receiver. The zero value is right.
type holes struct {
	acceptsAll  bool
	secret      *string // the configured secret, if it is not the right one
	anyTime     bool    // no look at the clock
	future      bool    // a look in one direction
	overflow    bool    // a difference that overflows
	reformats   bool    // the timestamp is parsed and formatted again
	noPrefix    bool    // a signature alone is accepted
	anyVersion  bool
	substring   bool             // the signature is looked for anywhere in the header
	prefix      bool             // the comparison ends with the shorter one
	v1OfFirst   bool             // only the first entry is looked at
	clock       time.Duration    // how far its clock is ahead
	encoder     func(any) []byte // encodes the body again before it is verified
	reencodes   bool             // the body is encoded again before it is verified
	unbounded   bool
	noID        bool // a missing id is an empty one
	splits      bool // an adapter splits the header at its commas
	leaks       bool // the right signature is in the response
	leaksSecret bool
	leaksLong   bool // the secret is in the response to a body that is too large
	jwt         bool // a JWT is accepted whatever its algorithm
	unknownType int  // the status for a type that it does not know
	strict      bool // a body that does not fit the types is refused
	anyBody     bool
	duplicate   int  // the status for a duplicate
	hint        bool // with Retry-After
	fails       int  // the status for what it refuses
	anyMethod   bool
	hangsUp     bool // on what it refuses
	hasty       bool // it responds to a long request without reading it, and closes the connection
}

// receiver is a small receiver with holes.
type receiver struct {
	holes
	mu   sync.Mutex
	seen map[string]int
}

func (h *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && !h.anyMethod {
		w.Header().Set("Allow", "POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	const limit = 1 << 20
	if h.hasty && r.ContentLength > limit {
		tooLarge(w)
		return
	}
	if !h.unbounded {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		if h.leaksLong {
			_, _ = io.WriteString(w, shared)
		}
		return
	}
	if !h.acceptsAll && !h.verify(w, r, body) {
		return
	}
	var event struct {
		Type string
		Data map[string]any
	}
	err = json.Unmarshal(body, &event)
	if err != nil && !h.anyBody || h.strict && event.Data == nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if h.unknownType != 0 {
		w.WriteHeader(h.unknownType)
		return
	}
	h.once(w, r.Header.Get("webhook-id"))
}

// tooLarge responds and closes the connection while the client is still sending,
// which resets it.
func tooLarge(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn,
		"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

// once responds to a duplicate.
func (h *receiver) once(w http.ResponseWriter, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[id]++
	if h.hint {
		w.Header().Set("Retry-After", "5")
	}
	if h.seen[id] == 2 && h.duplicate != 0 {
		w.WriteHeader(h.duplicate)
	}
}

// verify refuses what is not genuine, as far as the holes permit.
func (h *receiver) verify(w http.ResponseWriter, r *http.Request, body []byte) bool {
	refuse := func(text string) bool {
		if h.hangsUp {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(max(h.fails, http.StatusBadRequest))
		_, _ = io.WriteString(w, text)
		return false
	}
	id, sent, list := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature")
	if h.jwt && strings.Count(list, ".") == 2 {
		return true
	}
	at, err := strconv.ParseInt(sent, 10, 64)
	if id == "" && !h.noID || err != nil || !h.reformats && (sent[0] == '+' || sent[0] == '0') {
		return refuse("headers")
	}
	if h.reformats {
		sent = strconv.FormatInt(at, 10)
	}
	if !h.inTime(at) {
		return refuse("timestamp")
	}
	if h.reencodes {
		var compact bytes.Buffer
		if json.Compact(&compact, body) == nil {
			body = compact.Bytes()
		}
	}
	if h.encoder != nil {
		var value any
		if json.Unmarshal(body, &value) == nil {
			body = h.encoder(value)
		}
	}
	secret := shared
	if h.secret != nil {
		secret = *h.secret
	}
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, sent, body)
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if h.matches(list, want) {
		return true
	}
	if h.leaks {
		return refuse("expected v1," + want)
	}
	if h.leaksSecret {
		return refuse("tried " + secret)
	}
	return refuse("signature")
}

func (h *receiver) inTime(at int64) bool {
	const tolerance = 300
	now := time.Now().Add(h.clock).Unix()
	switch {
	case h.anyTime:
		return true
	case h.overflow:
		return now-at <= tolerance && at <= now+tolerance
	case h.future:
		return at >= now-tolerance
	}
	return at >= now-tolerance && at <= now+tolerance
}

func (h *receiver) matches(list, want string) bool {
	entries := strings.Split(list, " ")
	if h.splits {
		entries = strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' })
	}
	if h.v1OfFirst {
		entries = entries[:1]
	}
	if h.substring && strings.Contains(list, want) {
		return true
	}
	return slices.ContainsFunc(entries, func(entry string) bool {
		version, value, found := strings.Cut(entry, ",")
		switch {
		case !found:
			return h.noPrefix && entry == want
		case version != "v1" && !h.anyVersion:
			return false
		case h.prefix:
			return strings.HasPrefix(want, value)
		}
		return value == want
	})
}
