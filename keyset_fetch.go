package geminihook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxKeySet = 1 << 20 // bytes

// download fetches the keys and logs how it went. The keys are fresh for maxAge.
func (k *KeySet) download(ctx context.Context) ([]namedKey, time.Duration, error) {
	logger := cmp.Or(k.Logger, slog.Default())
	var keys []namedKey
	var unusable []string
	body, maxAge, err := k.get(ctx)
	if err == nil {
		keys, unusable, err = parseKeySet(body)
	}
	for _, reason := range unusable {
		logger.WarnContext(ctx, "gemini webhook key cannot be used", "reason", reason)
	}
	if err != nil {
		logger.ErrorContext(ctx, "gemini webhook keys were not fetched", "reason", err.Error())
		return nil, 0, err
	}
	logger.InfoContext(ctx, "gemini webhook keys were fetched",
		"keys", len(keys), "max_age", maxAge)
	return keys, maxAge, nil
}

// get returns the key server's response and how long its keys are fresh.
func (k *KeySet) get(ctx context.Context) (body []byte, maxAge time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cmp.Or(k.URL, GoogleKeySetURL), nil)
	if err != nil {
		return nil, 0, err
	}
	if err := checkURL(req.URL); err != nil {
		return nil, 0, err
	}
	client := *cmp.Or(k.Client, http.DefaultClient)
	client.CheckRedirect = checkRedirect
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text := http.StatusText(resp.StatusCode)
		return nil, 0, fmt.Errorf("the key server responded with %d %s", resp.StatusCode, text)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, 0, fmt.Errorf("the key set could not be read: %w", err)
	}
	if len(body) > maxKeySet {
		return nil, 0, fmt.Errorf("the key set is longer than %d bytes", maxKeySet)
	}
	return body, k.maxAge(resp.Header), nil
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Scheme != via[0].URL.Scheme {
		return errors.New("the key server redirects more than three times, or to another scheme")
	}
	return checkURL(req.URL)
}

func checkURL(u *url.URL) error {
	host := u.Hostname()
	if u.Scheme == "https" && host != "" {
		return nil
	}
	loopback := host == "localhost" || net.ParseIP(host).IsLoopback()
	if u.Scheme == "http" && loopback {
		return nil
	}
	return errors.New("keys are fetched over https only, except from loopback addresses")
}

// maxAge returns how long the keys of a response are fresh.
func (k *KeySet) maxAge(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.ToLower(header.Get("Cache-Control")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return time.Minute
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 63)
			// If the number is out of range, seconds is the largest one.
			if err == nil || errors.Is(err, strconv.ErrRange) {
				return time.Duration(min(max(seconds, 60), 24*60*60)) * time.Second
			}
		}
	}
	return cmp.Or(k.MaxAge, defaultKeyMaxAge)
}
