package geminihook_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/deliveries anew")

// oldSecret is the secret before the rotation in rotated-secret.http.
const oldSecret = "whsec_Z2VtaW5paG9vay10ZXN0LXNlY3JldC1vbGQwMDAx"

// recordedDelivery is a file in testdata/deliveries.
type recordedDelivery struct {
	name     string
	delivery *webhooktest.Delivery
	want     error // of an endpoint that has the secret and the keys, when it was sent
}

// recorded returns what testdata/deliveries holds.
func recorded() []recordedDelivery {
	n := 0
	body := func(b []byte) *webhooktest.Delivery {
		n++
		d := webhooktest.NewBody(b)
		d.SetID(fmt.Sprintf("msg_00000000-0000-4000-8000-%012d", n))
		return d
	}
	of := func(t geminihook.EventType) *webhooktest.Delivery { return body(webhooktest.Body(t)) }
	var rows []recordedDelivery
	for _, t := range webhooktest.Types() {
		row := recordedDelivery{name: string(t), delivery: of(t).Sign(at, signer)}
		rows = append(rows, row)
	}
	duplicate := rows[0].delivery.Clone().Sign(at.Add(30*time.Second), signer)
	jwt := of(geminihook.EventVideoGenerated).Sign(at)
	jwt.Header.Set("webhook-signature", "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJleGFtcGxlIn0.bm90LWEtc2lnbmF0dXJl")
	spaces := bytes.Repeat([]byte{' '}, 1<<20)
	big := append(webhooktest.Body(geminihook.EventBatchSucceeded), spaces...)
	return append(rows, []recordedDelivery{
		{"duplicate", duplicate, nil},
		{"dynamic", of(geminihook.EventVideoGenerated).Sign(at, webhooktest.Dynamic(webhooktest.Key(1))), nil},
		{"jwt", jwt, geminihook.ErrSignature},
		{"not-json", body([]byte("hello")).Sign(at, signer), geminihook.ErrPayload},
		{"oversized", body(big).Sign(at, signer), geminihook.ErrTooLarge},
		{"rotated-secret", of(geminihook.EventBatchSucceeded).Sign(at, webhooktest.Static(oldSecret), signer), nil},
		{"stale", of(geminihook.EventBatchSucceeded).Sign(at.Add(-time.Hour), signer), geminihook.ErrTimestamp},
		{"tampered", of(geminihook.EventBatchSucceeded).Sign(at, signer).Tampered(), geminihook.ErrSignature},
		{"unknown-type", of("batch.paused").Sign(at, signer), nil},
		{"wrong-secret", of(geminihook.EventBatchSucceeded).Sign(at, webhooktest.Static(oldSecret)), geminihook.ErrSignature},
	}...)
}

// TestRecordedDeliveries reads the files as a user would, and gives them to an endpoint
// whose clock shows the time at which they were sent.
func TestRecordedDeliveries(t *testing.T) {
	const dir = "testdata/deliveries"
	rows := recorded()
	if *update {
		for _, r := range rows {
			var b bytes.Buffer
			require.NoError(t, r.delivery.Write(&b))
			require.NoError(t, os.WriteFile(filepath.Join(dir, r.name+".http"), b.Bytes(), 0o644))
		}
	}
	files, err := webhooktest.Load(os.DirFS(dir), "*.http")
	require.NoError(t, err)
	byName := map[string]*webhooktest.Delivery{}
	for _, f := range files {
		byName[f.Name] = f.Delivery
	}
	require.Len(t, byName, len(rows), "a file for each, and no other")

	v := newVerifier(t)
	v.Now = func() time.Time { return at }
	keys := &geminihook.Ed25519{Now: v.Now}
	for _, n := range []int{0, 1, 2} {
		keys.Keys = append(keys.Keys, webhooktest.Public(webhooktest.Key(n)))
	}
	rc := newReceiver(t, &geminihook.Endpoint{Verifier: geminihook.AnyOf(v, keys)}, succeed)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			require.Equal(t, r.delivery.Header, byName[r.name].Header, "go test -run TestRecordedDeliveries -update writes it anew")
			require.True(t, bytes.Equal(r.delivery.Body, byName[r.name].Body))
			got := rc.send(t, byName[r.name])
			out := rc.next()
			require.ErrorIs(t, out.Err, r.want)
			assert.Equal(t, geminihook.StatusCode(r.want), got.status)
			if r.name == "duplicate" {
				assert.Equal(t, geminihook.Duplicate, out.Result)
			}
		})
	}
	assert.Equal(t, 1, rc.of(rows[0].delivery.ID()))
}
