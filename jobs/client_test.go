package jobs_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// requests is what each exported function and method does to make all requests that
// it can make. Nil means that it has no client and makes none.
var requests = map[string]func(t *testing.T, client *genai.Client){
	"Fetch": func(t *testing.T, client *genai.Client) {
		for _, body := range []string{
			`{"type":"batch.succeeded","data":{"id":"abc"}}`,
			`{"type":"interaction.completed","data":{"id":"abc"}}`,
			`{"type":"video.generated","data":{"id":"models/m/operations/abc"}}`,
		} {
			_, err := jobs.Fetch(t.Context(), client, event(t, body))
			assert.Error(t, err)
		}
	},
	"Batches": func(t *testing.T, client *genai.Client) {
		for _, err := range jobs.Batches(client)(t.Context()) {
			assert.Error(t, err)
		}
	},
	"Results": func(t *testing.T, client *genai.Client) {
		batch := &genai.BatchJob{
			State: genai.JobStateSucceeded, Dest: &genai.BatchJobDestination{FileName: "files/a"},
		}
		for _, err := range jobs.Results(t.Context(), client, batch) {
			assert.Error(t, err)
		}
	},
	"DownloadVideo": func(t *testing.T, client *genai.Client) {
		_, err := jobs.DownloadVideo(t.Context(), client, &genai.Video{URI: "files/a"}, io.Discard)
		assert.Error(t, err)
	},
	"CatchUp.Sweep": func(t *testing.T, client *genai.Client) {
		summary, err := sweepOfAll(t, client).Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, summary.Unreadable)
		c, _ := newCatchUp(t, client)
		c.Waiting = jobs.Batches(client)
		_, err = c.Sweep(t.Context())
		assert.Error(t, err)
	},
	"CatchUp.Run": func(t *testing.T, client *genai.Client) {
		c := sweepOfAll(t, client)
		ctx, cancel := context.WithCancel(t.Context())
		c.Observe = func(s jobs.Summary) {
			assert.Equal(t, 3, s.Unreadable)
			cancel()
		}
		require.ErrorIs(t, c.Run(ctx), context.Canceled)
	},
	"CatchUp.ServeHTTP": func(t *testing.T, client *genai.Client) {
		w := post(t.Context(), sweepOfAll(t, client), http.MethodPost)
		assert.Contains(t, w.Body.String(), `"unreadable":3`)
	},
	"Dialect.String":    nil,
	"Result.OutputText": nil,
	"Table.Add":         nil,
	"Table.Authorize":   nil,
	"Table.Created":     nil,
	"Table.End":         nil,
	"Table.Migrate":     nil,
	"Table.Purge":       nil,
	"Table.Remove":      nil,
	"Table.Stale":       nil,
	"Table.Waiting":     nil,
}

func sweepOfAll(t *testing.T, client *genai.Client) *jobs.CatchUp {
	c, _ := newCatchUp(t, client, jobs.Job{ID: "abc", Kind: jobs.KindBatch},
		jobs.Job{ID: "abc", Kind: jobs.KindInteraction},
		jobs.Job{ID: operation, Kind: jobs.KindVideo})
	return c
}

// TestKeyStaysWithTheAPI: no request that the module makes takes the API key, or a
// header that the program has configured, to another address than the client's,
// whatever the API's address redirects to.
func TestKeyStaysWithTheAPI(t *testing.T) {
	for _, target := range []struct{ name, url string }{
		{"another host", "https://elsewhere.example/x"},
		{"another host of Google", "https://storage.googleapis.com/x"},
		{"subdomain", "https://sub.api.example/x"},
		{"parent domain", "https://example/x"},
		{"plain HTTP", "http://api.example/x"},
		{"another port", "https://api.example:8443/x"},
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for name, call := range requests {
				if call == nil {
					continue
				}
				t.Run(target.name+" "+http.StatusText(status)+" "+name, func(t *testing.T) {
					r := &redirector{status: status, to: target.url}
					call(t, newClient(t, genai.ClientConfig{
						HTTPClient: &http.Client{Transport: r},
						HTTPOptions: genai.HTTPOptions{
							BaseURL: "https://api.example/", Headers: http.Header{"X-Gateway": {"SECRET"}},
						},
					}))
					assert.Positive(t, r.kept, "requests to the API")
					assert.Positive(t, r.redirected, "requests to the target")
				})
			}
		}
	}
}

// redirector is a transport. At the API's address, it redirects.
type redirector struct {
	status           int
	to               string
	mu               sync.Mutex
	kept, redirected int
}

func (r *redirector) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var headers strings.Builder
	if err := req.Header.Write(&headers); err != nil {
		return nil, err
	}
	secret := strings.Contains(headers.String(), fakeapi.Key)
	gateway := strings.Contains(headers.String(), "SECRET")
	if req.URL.Scheme == "https" && req.URL.Host == "api.example" {
		if secret && gateway {
			r.kept++
		}
		response := responseWith(req, r.status, http.NoBody)
		response.Header.Set("Location", r.to)
		return response, nil
	}
	if !secret && !gateway {
		r.redirected++
		return responseWith(req, http.StatusNotFound, http.NoBody), nil
	}
	r.redirected = -1000 // whatever else happens
	return responseWith(req, http.StatusNotFound, http.NoBody), nil
}

// TestRequestsOfAll: the table has every exported function and method.
func TestRequestsOfAll(t *testing.T) {
	var names []string
	for name := range requests {
		names = append(names, name)
	}
	assert.ElementsMatch(t, exported(t), names)
}

// exported returns the names of the exported functions, and of the exported methods
// of exported types.
func exported(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Name.IsExported() {
				names = append(names, qualified(f)...)
			}
		}
	}
	return names
}

// qualified returns "F", "T.M", or nothing for a method of a type that is not exported.
func qualified(f *ast.FuncDecl) []string {
	if f.Recv == nil {
		return []string{f.Name.Name}
	}
	receiver := f.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	ident, ok := receiver.(*ast.Ident)
	if !ok || !ident.IsExported() {
		return nil
	}
	return []string{ident.Name + "." + f.Name.Name}
}
