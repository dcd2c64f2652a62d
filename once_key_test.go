package geminihook_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type tenantKey struct{}

// tenantVerifier picks the secret by the tenant in the context.
type tenantVerifier map[string]*geminihook.HMAC

func (v tenantVerifier) Verify(ctx context.Context, header http.Header, body []byte) (geminihook.Proof, error) {
	return v[ctx.Value(tenantKey{}).(string)].Verify(ctx, header, body)
}

// TestTenants: tenant B signs tenant A's webhook-id with B's own secret, before
// A's event arrives.
func TestTenants(t *testing.T) {
	byTenant := func(ctx context.Context, ev *geminihook.Event) string {
		return ctx.Value(tenantKey{}).(string) + ":" + ev.ID
	}
	for _, tt := range []struct {
		name   string
		key    func(context.Context, *geminihook.Event) string
		result geminihook.Result // of A's genuine delivery
		runs   int
	}{
		{"without Key, B takes A's id", nil, geminihook.Duplicate, 1},
		{"with Key, B cannot", byTenant, geminihook.Processed, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secrets := map[string]string{"a": webhooktest.NewSecret(), "b": webhooktest.NewSecret()}
			verifier := tenantVerifier{}
			for tenant, secret := range secrets {
				var err error
				verifier[tenant], err = geminihook.NewHMAC(secret)
				require.NoError(t, err)
			}
			rc := record(t, &geminihook.Endpoint{Verifier: verifier, Key: tt.key})
			h := rc.Handler(rc.countRuns(nil))
			mux := http.NewServeMux()
			mux.HandleFunc("/hooks/{tenant}", func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, r.PathValue("tenant"))))
			})
			rc.start(t, mux)
			deliver := func(tenant string, d *webhooktest.Delivery) geminihook.Outcome {
				req, err := d.ClientRequest(rc.url + "/hooks/" + tenant)
				require.NoError(t, err)
				rc.do(t, req)
				return rc.outcome()
			}
			genuine := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secrets["a"]))
			attack := resigned(webhooktest.New(geminihook.EventBatchExpired), genuine.ID(), webhooktest.Static(secrets["b"]))
			assert.Equal(t, geminihook.Processed, deliver("b", attack).Result)
			assert.Equal(t, tt.result, deliver("a", genuine).Result)
			assert.Equal(t, tt.runs, rc.runCount(genuine.ID()))
		})
	}
}

// resigned gives a delivery another's webhook-id and signs it now.
func resigned(d *webhooktest.Delivery, id string, signer webhooktest.Signer) *webhooktest.Delivery {
	d.SetID(id)
	return d.Sign(time.Now(), signer)
}

// TestStaticAndDynamicApart: a stranger's dynamic delivery with the webhook-id
// of a static one does not make that a duplicate, even without Authorize.
func TestStaticAndDynamicApart(t *testing.T) {
	rc := newReceiver(t, &geminihook.Endpoint{
		Verifier: geminihook.AnyOf(newVerifier(t), newKeySet(1)),
	}, nil)
	ours := newBatch()
	theirs := resigned(webhooktest.New(geminihook.EventBatchExpired), ours.ID(), webhooktest.Dynamic(webhooktest.Key(1)))
	for _, tt := range []struct {
		delivery *webhooktest.Delivery
		want     geminihook.Result
	}{
		{theirs, geminihook.Processed}, {ours, geminihook.Processed}, {ours, geminihook.Duplicate}, {theirs, geminihook.Duplicate},
	} {
		assert.Equal(t, 200, rc.send(t, tt.delivery).status)
		assert.Equal(t, tt.want, rc.outcome().Result)
	}
	assert.Equal(t, 2, rc.runCount(ours.ID()))
}

func TestEmptyKey(t *testing.T) {
	store := &countingStore{Store: &geminihook.MemoryStore{}}
	rc := newReceiver(t, &geminihook.Endpoint{
		Store: store, Key: func(context.Context, *geminihook.Event) string { return "" },
	}, nil)
	d := newBatch()
	got := rc.send(t, d)
	assert.Equal(t, 503, got.status)
	assert.NotEmpty(t, got.header.Get("Retry-After"))
	out := rc.outcome()
	assert.Equal(t, geminihook.Unavailable, out.Result)
	require.ErrorIs(t, out.Err, geminihook.ErrStore)
	assert.ErrorContains(t, out.Err, "Endpoint.Key returned an empty key")
	assert.Zero(t, rc.runCount(d.ID()))
	assert.Zero(t, store.calls.Load(), "never a key that events share")
}

// TestByJob: one key per end of a job, the same for every reporter, and the
// default key for everything else.
func TestByJob(t *testing.T) {
	const byDefault = ""
	for _, tt := range []struct {
		name string
		data geminihook.Data
		typ  geminihook.EventType
		want string
	}{
		{"bare id", &geminihook.BatchSucceeded{ID: "abc"}, geminihook.EventBatchSucceeded, "batch.succeeded:abc"},
		{"resource name", &geminihook.BatchSucceeded{ID: "batches/abc"}, geminihook.EventBatchSucceeded, "batch.succeeded:abc"},
		{"long resource name", &geminihook.VideoGenerated{ID: "models/veo/operations/abc"}, geminihook.EventVideoGenerated, "video.generated:abc"},
		{"interaction that ends in dots", &geminihook.InteractionCompleted{ID: "v1_Chd.."}, geminihook.EventInteractionCompleted, "interaction.completed:v1_Chd.."},
		{"another end of the job", &geminihook.BatchFailed{ID: "batches/abc"}, geminihook.EventBatchFailed, "batch.failed:abc"},
		{"expired", &geminihook.BatchExpired{ID: "abc"}, geminihook.EventBatchExpired, "batch.expired:abc"},
		{"batch cancelled", &geminihook.BatchCancelled{ID: "abc"}, geminihook.EventBatchCancelled, "batch.cancelled:abc"},
		{"interaction failed", &geminihook.InteractionFailed{ID: "abc"}, geminihook.EventInteractionFailed, "interaction.failed:abc"},
		{"interaction cancelled", &geminihook.InteractionCancelled{ID: "abc"}, geminihook.EventInteractionCancelled, "interaction.cancelled:abc"},
		{"requires_action, which can happen again", &geminihook.InteractionRequiresAction{ID: "abc"}, geminihook.EventInteractionRequiresAction, byDefault},
		{"unknown type", &geminihook.Unknown{Data: []byte(`{"id":"abc"}`)}, "batch.paused", byDefault},
		{"unreadable data", &geminihook.Unknown{Data: []byte(`{"id":5}`)}, geminihook.EventBatchSucceeded, byDefault},
		{"no data", nil, geminihook.EventBatchSucceeded, byDefault},
		{"empty", &geminihook.BatchSucceeded{}, geminihook.EventBatchSucceeded, byDefault},
		{"trailing slash", &geminihook.BatchSucceeded{ID: "batches/abc/"}, geminihook.EventBatchSucceeded, byDefault},
		{"slash", &geminihook.BatchSucceeded{ID: "/"}, geminihook.EventBatchSucceeded, byDefault},
		{"256 bytes", &geminihook.BatchSucceeded{ID: strings.Repeat("x", 256)}, geminihook.EventBatchSucceeded, "batch.succeeded:" + strings.Repeat("x", 256)},
		{"over 256 bytes", &geminihook.BatchSucceeded{ID: strings.Repeat("x", 257)}, geminihook.EventBatchSucceeded, byDefault},
		{"non-ASCII", &geminihook.BatchSucceeded{ID: "batches/é"}, geminihook.EventBatchSucceeded, "batch.succeeded:%C3%A9"},
		{"non-ASCII over 256 bytes in the key", &geminihook.BatchSucceeded{ID: strings.Repeat("é", 100)}, geminihook.EventBatchSucceeded, byDefault},
		{"space and control character", &geminihook.BatchSucceeded{ID: "a b\n"}, geminihook.EventBatchSucceeded, "batch.succeeded:a%20b%0A"},
		{"escape in the id", &geminihook.BatchSucceeded{ID: "%C3%A9"}, geminihook.EventBatchSucceeded, "batch.succeeded:%25C3%25A9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, scheme := range []string{geminihook.SchemeHMAC, geminihook.SchemeEd25519, ""} {
				want := tt.want
				if want == byDefault {
					want = scheme + ":msg_1"
				}
				ev := &geminihook.Event{ID: "msg_1", Type: tt.typ, Data: tt.data, Proof: geminihook.Proof{Scheme: scheme}}
				assert.Equal(t, want, geminihook.ByJob(t.Context(), ev), scheme)
			}
		})
	}
}

// TestByJobOnce: a static and a dynamic webhook and a program that asks the API
// report the same end of a job, which is handled once.
func TestByJobOnce(t *testing.T) {
	rc := newReceiver(t, &geminihook.Endpoint{
		Verifier: geminihook.AnyOf(newVerifier(t), newKeySet(1)), Key: geminihook.ByJob,
	}, nil)
	body := []byte(`{"type":"batch.succeeded","data":{"id":"abc"}}`)
	assert.Equal(t, 200, rc.send(t, webhooktest.NewBody(body, signer)).status)
	assert.Equal(t, geminihook.Processed, rc.outcome().Result)
	assert.Equal(t, 200, rc.send(t, webhooktest.NewBody(body, webhooktest.Dynamic(webhooktest.Key(1)))).status)
	assert.Equal(t, geminihook.Duplicate, rc.outcome().Result)
	assert.Equal(t, geminihook.Duplicate, rc.Process(t.Context(), newEvent(t), rc.countRuns(nil)).Result)
}
