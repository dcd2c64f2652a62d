package geminihook_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prefixed is an Endpoint.Key.
func prefixed(prefix string) func(context.Context, *geminihook.Event) (string, error) {
	return func(_ context.Context, ev *geminihook.Event) (string, error) {
		return prefix + ev.ID, nil
	}
}

// TestKeyNamesTheEndpoint: two endpoints that share a store both handle an event if
// their keys differ.
func TestKeyNamesTheEndpoint(t *testing.T) {
	store := &geminihook.MemoryStore{}
	one := newReceiver(t, &geminihook.Endpoint{Store: store, Key: prefixed("one:")}, succeed)
	two := newReceiver(t, &geminihook.Endpoint{Store: store, Key: prefixed("two:")}, succeed)
	d := newBatch()
	assert.Equal(t, 200, one.send(t, d).status)
	assert.Equal(t, 200, two.send(t, d).status)
	assert.Equal(t, 200, two.send(t, d).status)
	assert.Equal(t, 1, one.of(d.ID()))
	assert.Equal(t, 1, two.of(d.ID()))
}

// TestKeyFails: an event without a key is delivered again.
func TestKeyFails(t *testing.T) {
	down := errors.New("the list of tenants is away")
	for _, tt := range []struct {
		name string
		key  string
		err  error
		want string
	}{
		{"empty", "", nil, "Endpoint.Key returned an empty key"},
		{"error", "", down, "the list of tenants is away"},
		{"key and error", "tenant", down, "the list of tenants is away"},
		{"Permanent", "", geminihook.Permanent(down), "the list of tenants is away"},
		{"ErrForbidden", "", geminihook.ErrForbidden, "not authorized"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &hookedStore{}
			key := func(context.Context, *geminihook.Event) (string, error) {
				return tt.key, tt.err
			}
			rc := newReceiver(t, &geminihook.Endpoint{Store: store, Key: key}, succeed)
			d := newBatch()
			got := rc.send(t, d)
			out := rc.next()
			assert.Equal(t, 503, got.status)
			assert.NotEmpty(t, got.header.Get("Retry-After"))
			assert.Equal(t, geminihook.Unavailable, out.Result)
			require.ErrorIs(t, out.Err, geminihook.ErrUnavailable)
			require.ErrorContains(t, out.Err, tt.want)
			assert.Zero(t, rc.of(d.ID()))
			assert.Zero(t, store.calls.Load(), "never a key that events share")
		})
	}
}

// TestStaticAndDynamicApart: a stranger's dynamic delivery with the webhook-id of a
// static one does not make that a duplicate, even without Authorize.
func TestStaticAndDynamicApart(t *testing.T) {
	rc := newReceiver(t, &geminihook.Endpoint{
		Verifier: geminihook.AnyOf(newVerifier(t), newKeySet(1)),
	}, succeed)
	ours, theirs := newBatch(), webhooktest.New(geminihook.EventBatchExpired)
	theirs.SetID(ours.ID())
	theirs.Sign(time.Now(), webhooktest.Dynamic(webhooktest.Key(1)))
	for _, tt := range []struct {
		delivery *webhooktest.Delivery
		want     geminihook.Result
	}{
		{theirs, geminihook.Processed},
		{ours, geminihook.Processed},
		{ours, geminihook.Duplicate},
		{theirs, geminihook.Duplicate},
	} {
		assert.Equal(t, 200, rc.send(t, tt.delivery).status)
		assert.Equal(t, tt.want, rc.next().Result)
	}
}

// TestByJob: one key per end of a job, the same for every reporter, and the default
// key for everything else.
func TestByJob(t *testing.T) {
	const byDefault = ""
	long := strings.Repeat("x", 256)
	for _, tt := range []struct {
		name string
		typ  geminihook.EventType
		data geminihook.Data
		want string
	}{
		{"bare id", "batch.succeeded", &geminihook.BatchSucceeded{ID: "abc"}, "batch.succeeded:abc"},
		{"resource name", "batch.succeeded", &geminihook.BatchSucceeded{ID: "batches/abc"}, "batch.succeeded:abc"},
		{"long name", "video.generated", &geminihook.VideoGenerated{ID: "models/veo/operations/abc"}, "video.generated:abc"},
		{"dots", "interaction.completed", &geminihook.InteractionCompleted{ID: "v1_Chd.."}, "interaction.completed:v1_Chd.."},
		{"another end", "batch.failed", &geminihook.BatchFailed{ID: "batches/abc"}, "batch.failed:abc"},
		{"expired", "batch.expired", &geminihook.BatchExpired{ID: "abc"}, "batch.expired:abc"},
		{"cancelled", "batch.cancelled", &geminihook.BatchCancelled{ID: "abc"}, "batch.cancelled:abc"},
		{"requires_action", "interaction.requires_action", &geminihook.InteractionRequiresAction{ID: "abc"}, byDefault},
		{"unknown type", "batch.paused", &geminihook.Unknown{Data: []byte(`{"id":"abc"}`)}, byDefault},
		{"unreadable data", "batch.succeeded", &geminihook.Unknown{Data: []byte(`{"id":5}`)}, byDefault},
		{"no data", "batch.succeeded", nil, byDefault},
		{"empty", "batch.succeeded", &geminihook.BatchSucceeded{}, byDefault},
		{"trailing slash", "batch.succeeded", &geminihook.BatchSucceeded{ID: "batches/abc/"}, byDefault},
		{"256 bytes", "batch.succeeded", &geminihook.BatchSucceeded{ID: long}, "batch.succeeded:" + long},
		{"over 256 bytes", "batch.succeeded", &geminihook.BatchSucceeded{ID: long + "x"}, byDefault},
		{"not ASCII", "batch.succeeded", &geminihook.BatchSucceeded{ID: "batches/\u00e9"}, byDefault},
		{"not UTF-8", "batch.succeeded", &geminihook.BatchSucceeded{ID: "b\xff"}, byDefault},
		{"control character", "batch.succeeded", &geminihook.BatchSucceeded{ID: "ab\n"}, byDefault},
		{"space", "batch.succeeded", &geminihook.BatchSucceeded{ID: "a b"}, byDefault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, scheme := range []string{geminihook.SchemeHMAC, geminihook.SchemeEd25519, ""} {
				want := tt.want
				if want == byDefault {
					want = scheme + ":msg_1"
				}
				ev := &geminihook.Event{
					ID: "msg_1", Type: tt.typ, Data: tt.data, Proof: geminihook.Proof{Scheme: scheme},
				}
				got, err := geminihook.ByJob(t.Context(), ev)
				require.NoError(t, err)
				assert.Equal(t, want, got, scheme)
			}
		})
	}
}

// TestByJobOddIDs: ids that differ only in what is not text have keys of their own.
func TestByJobOddIDs(t *testing.T) {
	keys := map[string]bool{}
	for i, id := range []string{`b\ud800`, `b\ufffd`} {
		body := `{"type":"batch.succeeded","data":{"id":"` + id + `"}}`
		ev, err := geminihook.ParseUnverified([]byte(body))
		require.NoError(t, err)
		ev.ID = "msg_" + string(rune('a'+i))
		key, err := geminihook.ByJob(t.Context(), ev)
		require.NoError(t, err)
		keys[key] = true
	}
	assert.Len(t, keys, 2)
}

// TestByJobOnce: a static and a dynamic webhook and a program that asks the API
// report the same end of a job, which is handled once.
func TestByJobOnce(t *testing.T) {
	e := &geminihook.Endpoint{
		Verifier: geminihook.AnyOf(newVerifier(t), newKeySet(1)), Key: geminihook.ByJob,
	}
	rc := newReceiver(t, e, succeed)
	body := []byte(`{"type":"batch.succeeded","data":{"id":"abc"}}`)
	assert.Equal(t, 200, rc.send(t, webhooktest.NewBody(body, signer)).status)
	assert.Equal(t, geminihook.Processed, rc.next().Result)
	dynamic := webhooktest.NewBody(body, webhooktest.Dynamic(webhooktest.Key(1)))
	assert.Equal(t, 200, rc.send(t, dynamic).status)
	assert.Equal(t, geminihook.Duplicate, rc.next().Result)
	assert.Equal(t, geminihook.Duplicate, e.Process(t.Context(), newEvent(t), succeed).Result)
}
