package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestList(t *testing.T) {
	fake, vars := newAPI(t)
	assert.Contains(t, ok(t, vars, "list"), "There is no static webhook")
	assert.Empty(t, ok(t, vars, "list", "-json"))
	for _, s := range []string{"1", "2", "3", "4", "5"} {
		ok(t, vars, "setup", "-url", endpoint+s)
	}
	fake.SetState("webhook-2", hostile)
	fake.SetURL("webhook-3", hostile)
	assertVisible(t, ok(t, vars, "list"))
	out := ok(t, vars, "list", "-json")
	assertVisible(t, out)
	require.Equal(t, 5, strings.Count(out, "\n"))
	var line webhookLine
	require.NoError(t, json.Unmarshal([]byte(strings.Split(out, "\n")[2]), &line))
	assert.Equal(t, webhookLine{
		ID: "webhook-3", Name: "geminihook", URL: hostile, State: "enabled", Events: line.Events,
		Secrets: []secretLine{{Name: secretName(fake.Secrets("webhook-3")[0])}},
	}, line)
}
