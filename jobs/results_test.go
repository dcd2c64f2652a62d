package jobs_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/fakeapi"
	"github.com/geminihook/geminihook/jobs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

func content(text string) string {
	return fmt.Sprintf(`{"candidates":[{"content":{"role":"model","parts":[{"text":%q}]},"finishReason":"STOP"}],"usageMetadata":{"totalTokenCount":3}}`,
		text)
}

// fetchBatch fetches a batch with the given output.
func fetchBatch(
	t *testing.T, api *fakeapi.API, output map[string]any,
) (*genai.Client, *genai.BatchJob) {
	t.Helper()
	api.Set("batches/abc", fakeapi.Batch("batches/abc", "BATCH_STATE_SUCCEEDED", "output", output))
	client := serve(t, api)
	r, err := jobs.Fetch(t.Context(), client, event(t, `{"type":"batch.succeeded","data":{"id":"abc"}}`))
	require.NoError(t, err)
	return client, r.Batch
}

func TestResultsOfFile(t *testing.T) {
	api := &fakeapi.API{}
	api.SetFile("files/batch-out_1", strings.Join([]string{
		`{"key":"a","response":` + content("one") + `}`,
		"",
		`{"key":"b","error":{"code":3,"message":"no","details":[{"@type":"x"}]}}`,
		`{"key":"c","response":{"embedding":{"values":[1,2]},"tokenCount":"7"}}`,
		`not JSON, SECRET`,
		`{"key":"e"}`,
		`{"key":"null","response":null}`,
		`{"key":"f","response":` + content(strings.Repeat("x", 1<<20)) + `}`,
	}, "\n"))
	client, batch := fetchBatch(t, api, map[string]any{"responsesFile": "files/batch-out_1"})
	var got []string
	for r, err := range jobs.Results(t.Context(), client, batch) {
		require.NotNil(t, r, "%v", err)
		assert.NotEmpty(t, r.Raw)
		switch {
		case err != nil:
			assert.NotContains(t, err.Error(), "SECRET")
			got = append(got, fmt.Sprintf("%d error", r.Index))
		case r.Error != nil:
			got = append(got,
				fmt.Sprintf("%d %s %d %s", r.Index, r.Key, *r.Error.Code, r.Error.Message))
		case r.Embedding != nil:
			got = append(got, fmt.Sprintf("%d %s %v", r.Index, r.Key, r.Embedding.Values))
		default:
			got = append(got, fmt.Sprintf("%d %s %.3s", r.Index, r.Key, r.Content.Text()))
		}
	}
	assert.Equal(t, []string{
		"0 a one", "1 b 3 no", "2 c [1 2]", "3 error", "4 error", "5 error", "6 f xxx",
	}, got)
}

// inlined returns the output of a batch with these responses.
func inlined(responses ...any) map[string]any {
	return map[string]any{"inlinedResponses": map[string]any{"inlinedResponses": responses}}
}

func TestResultsInlined(t *testing.T) {
	client, batch := fetchBatch(t, &fakeapi.API{}, inlined(
		map[string]any{"metadata": map[string]any{"key": "a"}, "response": map[string]any{
			"candidates": []any{map[string]any{
				"content": map[string]any{"parts": []any{map[string]any{"text": "one"}}},
			}},
		}},
		map[string]any{
			"metadata": map[string]any{"key": "b"},
			"error":    map[string]any{"code": 3, "message": "no"},
		},
	))
	var got []string
	for r, err := range jobs.Results(t.Context(), client, batch) {
		require.NoError(t, err)
		if r.Error != nil {
			got = append(got, r.Key+" "+r.Error.Message)
		} else {
			got = append(got, r.Key+" "+r.Content.Text())
		}
	}
	assert.Equal(t, []string{"a one", "b no"}, got)
}

func TestResultsOfEmbeddings(t *testing.T) {
	client, batch := fetchBatch(t, &fakeapi.API{}, inlined(
		map[string]any{
			"metadata": map[string]any{"key": "a"},
			"response": map[string]any{"embedding": map[string]any{"values": []any{1, 2}}},
		},
	))
	n := 0
	for r, err := range jobs.Results(t.Context(), client, batch) {
		require.NoError(t, err)
		assert.Equal(t, "a", r.Key)
		assert.Equal(t, []float32{1, 2}, r.Embedding.Values)
		n++
	}
	assert.Equal(t, 1, n)
}

// TestNoResults: a loop over a batch without results sees one error.
func TestNoResults(t *testing.T) {
	client := serve(t, &fakeapi.API{})
	for _, tt := range []struct {
		name  string
		batch *genai.BatchJob
		text  string
	}{
		{"nil", nil, "no batch"},
		{"running", &genai.BatchJob{Name: "batches/abc", State: genai.JobStateRunning}, "JOB_STATE_RUNNING"},
		{"empty", &genai.BatchJob{Name: "batches/abc", State: genai.JobStateSucceeded}, "neither"},
		{"file that is gone", &genai.BatchJob{State: genai.JobStateSucceeded, Dest: &genai.BatchJobDestination{FileName: "files/gone"}}, "files/gone: 404"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			for r, err := range jobs.Results(t.Context(), client, tt.batch) {
				require.ErrorContains(t, err, tt.text)
				assert.Nil(t, r)
				assert.Equal(t, tt.name == "file that is gone",
					errors.Is(err, geminihook.ErrPermanent))
				n++
			}
			assert.Equal(t, 1, n)
		})
	}
}

// TestResultsCutOff: the error about a file that ends early names the file once.
func TestResultsCutOff(t *testing.T) {
	api := &fakeapi.API{Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "9")
		_, _ = w.Write([]byte("{}\n"))
		return true
	}}
	batch := &genai.BatchJob{
		State: genai.JobStateSucceeded, Dest: &genai.BatchJobDestination{FileName: "files/half"},
	}
	var last error
	for _, err := range jobs.Results(t.Context(), serve(t, api), batch) {
		last = err
	}
	require.EqualError(t, last, "jobs: files/half: unexpected EOF")
}

// TestResultsAreStreamed: the file is larger than the memory that reading it
// takes.
func TestResultsAreStreamed(t *testing.T) {
	const size, count = 1 << 14, 512 // 8 MiB
	line := []byte(`{"key":"k","response":` + content(strings.Repeat("x", size)) + "}\n")
	api := &fakeapi.API{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1beta/files/") {
			return false
		}
		for range count {
			_, _ = w.Write(line)
		}
		return true
	}}
	client, batch := fetchBatch(t, api, map[string]any{"responsesFile": "files/large"})
	var most, before uint64
	n := 0
	for _, err := range jobs.Results(t.Context(), client, batch) {
		require.NoError(t, err)
		if n%64 == 0 {
			heap := liveHeap()
			if n == 0 {
				before = heap
			}
			most = max(most, heap)
		}
		n++
	}
	assert.Equal(t, count, n)
	assert.Less(t, most, before+count*size/4, "a quarter of the file")
}

// liveHeap returns how many bytes are reachable.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestResultsInlinedWithout: a loop that reads Content when there is no error never
// finds it nil.
func TestResultsInlinedWithout(t *testing.T) {
	client, batch := fetchBatch(t, &fakeapi.API{}, inlined(
		map[string]any{"metadata": map[string]any{"key": "a"}},
		map[string]any{
			"metadata": map[string]any{"key": "b"},
			"error":    map[string]any{"code": 3, "message": "no"},
		},
	))
	var got []string
	for r, err := range jobs.Results(t.Context(), client, batch) {
		got = append(got, fmt.Sprintf("%d %s %t %t", r.Index, r.Key, err != nil, r.Error != nil))
	}
	assert.Equal(t, []string{"0 a true false", "1 b false true"}, got)
}
