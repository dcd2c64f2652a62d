package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/geminihook/geminihook/cmd/geminihook/internal/api"
	"github.com/stretchr/testify/assert"
)

func TestSkew(t *testing.T) {
	date := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	resp := &http.Response{Header: http.Header{"Date": {date.Format(http.TimeFormat)}}}
	for _, tt := range []struct {
		name           string
		sent, received time.Duration // after the Date
		want           time.Duration
	}{
		{"exact", 0, 0, 0},
		{"slow response", -4 * time.Second, 5 * time.Second, 0},
		{"the fraction that Date cuts off", 900 * time.Millisecond, 950 * time.Millisecond, 0},
		{"fast clock", time.Minute, time.Minute + time.Second, 59 * time.Second},
		{"slow clock", -time.Minute, -time.Minute + time.Second, -59 * time.Second},
	} {
		got, ok := api.Skew(resp, date.Add(tt.sent), date.Add(tt.received))
		assert.True(t, ok)
		assert.Equal(t, tt.want, got, tt.name)
	}
	_, ok := api.Skew(&http.Response{Header: http.Header{}}, date, date)
	assert.False(t, ok)
}

func TestPrivate(t *testing.T) {
	for url, want := range map[string]bool{
		"https://example.com/": true, "http://127.0.0.1:80/": true, "http://[::1]/": true,
		"http://localhost:1/": true,
		"http://example.com/": false, "ftp://localhost/": false, "https://": false,
		"example.com": false, "http://localhost.example.com": false,
	} {
		assert.Equal(t, want, api.Private(url), url)
	}
}
