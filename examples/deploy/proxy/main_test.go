package main

import (
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	backend := httptest.NewServer(routes(receiver.Endpoint, receiver.Handle))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	require.NoError(t, err)
	public := httptest.NewServer(proxy(target))
	defer public.Close()
	receiver.Check(t, public.URL+"/gemini")
}
