package api

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// SameURL reports whether requests to the two URLs are the same: the case of the
// scheme and the host does not matter, nor whether the scheme's own port and the
// path "/" are written out.
func SameURL(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	if err1 != nil || err2 != nil {
		return a == b
	}
	return normal(u) == normal(v)
}

// normal returns the URL in the form in which equal ones have the same text.
func normal(u *url.URL) string {
	n := *u
	n.Scheme, n.Host = strings.ToLower(n.Scheme), strings.ToLower(n.Host)
	switch n.Scheme {
	case "https":
		n.Host = strings.TrimSuffix(n.Host, ":443")
	case "http":
		n.Host = strings.TrimSuffix(n.Host, ":80")
	}
	if n.Path == "" {
		n.Path = "/"
	}
	return n.String()
}

// CheckURL returns an error if Google cannot deliver to the URL.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https":
		return errors.New("the URL must begin with https://: Google delivers to nothing else")
	case u.User != nil:
		return errors.New("the URL must not have a password in it: every delivery is signed")
	case u.Fragment != "":
		return errors.New("the URL must not have a fragment (#), which is never sent")
	case unreachable(u.Hostname()):
		return errors.New("the URL has a loopback or private address, which Google cannot reach: use a public one, such as that of a tunnel")
	}
	return nil
}

// unreachable reports whether the host cannot be reached from the internet.
func unreachable(host string) bool {
	if Loopback(host) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
}

// IsHTTP reports whether the text is the URL of an HTTP server.
func IsHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// Private reports whether what is sent to the URL stays private on the way: it is
// https, or its host is a loopback address.
func Private(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "https" || (u.Scheme == "http" && Loopback(u.Hostname()))
}

// Loopback reports whether the host is this machine by its name or address.
func Loopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
