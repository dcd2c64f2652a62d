package geminihook_test

import (
	"context"
	"net/http"
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

func (v tenantVerifier) Verify(
	ctx context.Context, header http.Header, body []byte,
) (geminihook.Proof, error) {
	return v[ctx.Value(tenantKey{}).(string)].Verify(ctx, header, body)
}

// TestTenants: tenant B signs tenant A's webhook-id with B's own secret, before A's
// event arrives.
func TestTenants(t *testing.T) {
	byTenant := func(ctx context.Context, ev *geminihook.Event) (string, error) {
		return ctx.Value(tenantKey{}).(string) + ":" + ev.ID, nil
	}
	for _, tt := range []struct {
		name   string
		key    func(context.Context, *geminihook.Event) (string, error)
		result geminihook.Result // of A's genuine delivery
		runs   int
	}{
		{"without Key, B takes A's id", nil, geminihook.Duplicate, 1},
		{"with Key, B cannot", byTenant, geminihook.Processed, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secrets := map[string]string{
				"a": webhooktest.RandomSecret(),
				"b": webhooktest.RandomSecret(),
			}
			verifier := tenantVerifier{}
			for tenant, secret := range secrets {
				var err error
				verifier[tenant], err = geminihook.NewHMAC(secret)
				require.NoError(t, err)
			}
			e := &geminihook.Endpoint{Verifier: verifier, Key: tt.key}
			rc := &receiver{observer: observe(t, e)}
			h := e.Handler(rc.count(succeed))
			mux := http.NewServeMux()
			mux.HandleFunc("/hooks/{tenant}", func(w http.ResponseWriter, r *http.Request) {
				ctx := context.WithValue(r.Context(), tenantKey{}, r.PathValue("tenant"))
				h.ServeHTTP(w, r.WithContext(ctx))
			})
			rc.server = serve(t, mux)
			deliver := func(tenant string, d *webhooktest.Delivery) geminihook.Result {
				req, err := d.ClientRequest(rc.url + "/hooks/" + tenant)
				require.NoError(t, err)
				rc.do(t, req)
				return rc.next().Result
			}
			genuine := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secrets["a"]))
			attack := webhooktest.New(geminihook.EventBatchExpired)
			attack.SetID(genuine.ID())
			attack.Sign(time.Now(), webhooktest.Static(secrets["b"]))
			assert.Equal(t, geminihook.Processed, deliver("b", attack))
			assert.Equal(t, tt.result, deliver("a", genuine))
			assert.Equal(t, tt.runs, rc.of(genuine.ID()))
		})
	}
}
