package fakeapi

import (
	"fmt"
	"slices"

	"github.com/geminihook/geminihook/webhooktest"
)

func newSecret() secret {
	whole := webhooktest.RandomSecret()
	return secret{Truncated: "whsec_..." + whole[len(whole)-4:], whole: whole}
}

func (s *Server) newID() string {
	s.made++
	return fmt.Sprintf("webhook-%d", s.made)
}

// find returns the webhook, or nil. The caller holds s.mu.
func (s *Server) find(id string) *hook {
	for _, h := range s.hooks {
		if h.ID == id {
			h.Secrets = slices.DeleteFunc(h.Secrets, func(one secret) bool {
				return one.Expires != nil && !one.Expires.After(s.clock())
			})
			return h
		}
	}
	return nil
}
