package geminihook_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rotation is Google's side of rotations: the secrets that it signs with, of which
// the newest is the last.
type rotation struct {
	mu      sync.Mutex
	secrets []string
}

// next adds a secret and returns all as a list, the newest first.
func (r *rotation) next() (list, newest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest = webhooktest.RandomSecret()
	r.secrets = append(r.secrets, newest)
	for _, secret := range r.secrets {
		list = secret + "," + list
	}
	return strings.TrimSuffix(list, ","), newest
}

// delivery is signed with the two newest secrets, as Google signs for 24 hours after
// a rotation.
func (r *rotation) delivery() *webhooktest.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.secrets)
	return webhooktest.New(geminihook.EventBatchSucceeded,
		webhooktest.Static(r.secrets[n-1]), webhooktest.Static(r.secrets[n-2]))
}

// replacements are the ways in which files change.
var replacements = []struct {
	name    string
	replace func(t *testing.T, path, text string)
}{
	{"rename", func(t *testing.T, path, text string) {
		writeSecrets(t, path+".new", text)
		require.NoError(t, os.Rename(path+".new", path))
	}},
	{"truncate and write", func(t *testing.T, path, text string) {
		writeSecrets(t, path, text)
	}},
	{"truncate and write in pieces", func(t *testing.T, path, text string) {
		file, err := os.Create(path)
		require.NoError(t, err)
		for rest := text; rest != ""; {
			n := min(len(rest), 20)
			_, err := file.WriteString(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.NoError(t, file.Close())
	}},
	{"remove and write", func(t *testing.T, path, text string) {
		if err := os.Remove(path); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		writeSecrets(t, path, text)
	}},
	{"swap a link, as Kubernetes does", func(t *testing.T, path, text string) {
		// path is a link to ..data/NAME, and ..data a link to a folder, which is
		// replaced by rename.
		volume := filepath.Dir(path)
		folder, err := os.MkdirTemp(volume, "..")
		require.NoError(t, err)
		writeSecrets(t, filepath.Join(folder, "secrets"), text)
		old, _ := os.Readlink(filepath.Join(volume, "..data")) // there is none at first
		fresh := filepath.Join(volume, "..data_tmp")
		require.NoError(t, os.Symlink(filepath.Base(folder), fresh))
		require.NoError(t, os.Rename(fresh, filepath.Join(volume, "..data")))
		if old == "" {
			require.NoError(t, os.Symlink("..data/secrets", path))
			return
		}
		require.NoError(t, os.RemoveAll(filepath.Join(volume, old)))
	}},
}

// TestSecretFileRotation: at 200 requests per second, while the secret is rotated ten
// times, no genuine delivery is refused, and after each change, the next delivery may
// be signed with the new secret alone.
func TestSecretFileRotation(t *testing.T) {
	for _, tt := range replacements {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var google rotation
			google.next()
			f := &geminihook.SecretFile{Path: filepath.Join(t.TempDir(), "link")}
			first, _ := google.next()
			tt.replace(t, f.Path, first)
			endpoint := &geminihook.Endpoint{Verifier: f}
			observed := observe(t, endpoint)
			f.Logger = endpoint.Logger
			require.NoError(t, f.Refresh(t.Context()))
			handler := endpoint.Handler(succeed)
			send := func(d *webhooktest.Delivery) int {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, d.Request("/gemini"))
				return w.Code
			}

			var wg sync.WaitGroup
			var mu sync.Mutex
			statuses := map[int]int{}
			ticker := time.NewTicker(5 * time.Millisecond)
			defer ticker.Stop()
			for i := range 200 {
				<-ticker.C
				wg.Go(func() {
					status := send(google.delivery())
					mu.Lock()
					defer mu.Unlock()
					statuses[status]++
				})
				if i%20 == 10 {
					list, newest := google.next()
					tt.replace(t, f.Path, list)
					alone := webhooktest.Static(newest)
					status := send(webhooktest.New(geminihook.EventBatchSucceeded, alone))
					assert.Equal(t, http.StatusOK, status, "signed with the new secret alone")
				}
			}
			wg.Wait()
			assert.Equal(t, map[int]int{http.StatusOK: 200}, statuses, observed.log())
			assert.Equal(t, 12, f.Status().Secrets, fmt.Sprint(f.Status()))
		})
	}
}
