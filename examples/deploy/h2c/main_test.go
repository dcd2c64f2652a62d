package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) { deliveries.Main(m, main) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t) }

func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	handler := routes(receiver.Endpoint, receiver.Handle)
	http2 := func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, 2, r.ProtoMajor)
		handler.ServeHTTP(w, r)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(http2))
	server.Config.Protocols = protocols()
	server.Start()
	defer server.Close()
	h2c := new(http.Protocols)
	h2c.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: h2c}}
	receiver.CheckWith(t, client, server.URL+"/gemini")
}
