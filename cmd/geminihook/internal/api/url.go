package api

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// SameURL compares URLs as a server sees them: upper and lower case are the same
// in the scheme and the host.
func SameURL(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	if err1 != nil || err2 != nil {
		return a == b
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	v.Scheme, v.Host = strings.ToLower(v.Scheme), strings.ToLower(v.Host)
	return u.String() == v.String()
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
	case private(u.Hostname()):
		return errors.New("the URL has a loopback or private address, which Google cannot reach: use a public one, such as that of a tunnel")
	}
	return nil
}

// private reports whether the host cannot be reached from the internet.
func private(host string) bool {
	ip := net.ParseIP(host)
	return Loopback(host) || ip != nil && (ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
}

// Private reports whether what is sent to the URL stays private on the way: it is
// https, or its host is a loopback address.
func Private(rawURL string) bool {
	u, err := url.Parse(rawURL)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()))
}

// Loopback reports whether the host is this machine by its name or address.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
