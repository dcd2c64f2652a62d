package doctor

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/geminihook/geminihook/cmd/geminihook/internal/direct"
)

// tolerance is the default of geminihook.HMAC and geminihook.KeySet.
const tolerance = 5 * time.Minute

// Clock checks this machine's clock, which is ahead of Google's by the given time.
func Clock(ahead time.Duration) Result {
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	text := fmt.Sprintf("%v %s Google's", ahead.Abs().Round(time.Second), direction)
	switch {
	case ahead.Abs() > tolerance:
		return failure("clock", text+", so every delivery on this machine is refused", "Set the clock, and run NTP.")
	case ahead.Abs() > 30*time.Second:
		return warning("clock", text+"; deliveries are refused from 5 minutes", "Run NTP.")
	case ahead.Abs() < time.Second:
		text = "as Google's, to the second"
	}
	return ok("clock", text)
}

// Keys checks that the key set of dynamic webhooks can be fetched, and names the
// keys as [geminihook.KeySet] does. It also returns how far this machine's clock is
// ahead of the server's, or false if the response has no date.
func Keys(ctx context.Context, url string) (r Result, ahead time.Duration, dated bool) {
	const check = "key set"
	const do = "Let this machine reach it over https. Only dynamic webhooks need it."
	if !api.Private(url) {
		return failure(check, url+" is not an https URL", do), 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return failure(check, err.Error(), do), 0, false
	}
	sent := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return failure(check, err.Error(), do), 0, false
	}
	defer resp.Body.Close()
	ahead, dated = api.Skew(resp, sent, time.Now())
	names, err := keys(resp)
	if err != nil {
		return failure(check, url+": "+err.Error(), do), ahead, dated
	}
	return ok(check, fmt.Sprintf("%s has %d usable keys: %s", url, len(names),
		strings.Join(names, ", "))), ahead, dated
}

// keys returns the beginnings of the names of the usable keys in the response.
func keys(resp *http.Response) (names []string, err error) {
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the response is %s", resp.Status)
	}
	var set struct {
		Keys []struct{ Kty, Crv, X, Kid string }
	}
	const limit = 1 << 20
	if err := json.NewDecoder(io.LimitReader(resp.Body, limit)).Decode(&set); err != nil {
		return nil, errors.New("the response is not a JWK Set")
	}
	for _, k := range set.Keys {
		raw, err := base64.RawURLEncoding.DecodeString(k.X)
		if k.Kty != "OKP" || k.Crv != "Ed25519" || err != nil ||
			len(raw) != ed25519.PublicKeySize || len(names) == 16 {
			continue
		}
		// The thumbprint of RFC 7638.
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, k.X))
		names = append(names,
			cmp.Or(k.Kid, base64.RawURLEncoding.EncodeToString(sum[:])[:12]+"..."))
	}
	if len(names) == 0 {
		return nil, errors.New("the key set has no usable Ed25519 key")
	}
	return names, nil
}

// client sends the requests of all checks.
var client = direct.NewClient(http.DefaultTransport.(*http.Transport).Clone())
