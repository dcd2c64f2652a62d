package listen

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// slots bounds the bodies that are read at once. Whoever comes when all slots are taken
// gets that of the longest unfinished body: a genuine delivery arrives in milliseconds,
// so that the slow strangers cut each other off. Sources share the slots: the body is
// one of the source that has the most of them.
type slots struct {
	limit int

	mu    sync.Mutex
	taken []*slot // the longest unfinished one first
}

// slot is a body that is being read.
type slot struct {
	source string
	cut    func() // ends the reading
}

// enter takes a slot, which never fails. Call leave when the body was read, or has
// failed.
func (s *slots) enter(source string, cut func()) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.taken) >= s.limit {
		i := s.victim()
		s.taken[i].cut()
		s.taken = slices.Delete(s.taken, i, i+1)
	}
	own := &slot{source: source, cut: cut}
	s.taken = append(s.taken, own)
	return own
}

// leave gives the slot back. It is not cut off afterwards.
func (s *slots) leave(own *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.taken, own); i >= 0 { // it may have been cut off
		s.taken = slices.Delete(s.taken, i, i+1)
	}
}

// victim returns the longest unfinished body of the source that has the most slots.
func (s *slots) victim() (index int) {
	shares := map[string]int{}
	for _, t := range s.taken {
		shares[t.source]++
	}
	for i, t := range s.taken {
		if shares[t.source] > shares[s.taken[index].source] {
			index = i
		}
	}
	return index
}

// sourceOf returns where a request comes from: the network of an IPv6 address, because
// each host has many of them, or an IPv4 address. A tunnel runs on this machine, and
// appends the address of its client to X-Forwarded-For, of which only the end is not the
// client's own claim.
func sourceOf(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr) // without a port, there is no source
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	if addr.Unmap().IsLoopback() {
		list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		client, err := netip.ParseAddr(strings.TrimSpace(list[len(list)-1]))
		if err == nil {
			addr = client
		}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		network, _ := addr.Prefix(64) // which every IPv6 address has
		return network.String()
	}
	return addr.String()
}
