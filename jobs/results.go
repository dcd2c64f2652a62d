package jobs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"google.golang.org/genai"
)

// Response is the response to one request of a batch.
type Response struct {
	// Index is the position of the response, starting with 0. Responses are in
	// the order of the requests.
	Index int
	// Key is the "key" of the request in the batch's input file, or in its
	// metadata if the requests were inlined.
	Key string
	// Metadata is what an inlined request had.
	Metadata map[string]string
	// Content is the response of a model. It is nil if the request failed.
	Content *genai.GenerateContentResponse
	// Embedding is the response of an embedding model.
	Embedding *genai.ContentEmbedding
	// Error is why the request failed, or nil. Its Details are not read.
	Error *genai.JobError
	// Raw is the line of the output file. It is nil for an inlined request.
	Raw json.RawMessage
}

// maxLine bounds a line of an output file, in bytes. The images in a response are
// megabytes long.
const maxLine = 64 << 20

// Results iterates over the responses of a batch that has succeeded, whether they
// are inlined or in a file. A file is streamed line by line, not held in memory,
// and ctx must live as long as the loop. It fails if no byte arrives for
// 30 seconds.
//
// If one line or inlined response cannot be decoded, the iteration has an error and
// a response with its Index, and the next iteration has the next one. After any other
// error, the response is nil and the loop ends. A request that failed is not an error,
// but a response whose Error is set.
func Results(
	ctx context.Context, client *genai.Client, batch *genai.BatchJob,
) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		switch {
		case batch == nil:
			yield(nil, errors.New("jobs: no batch"))
		case batch.State != genai.JobStateSucceeded &&
			batch.State != genai.JobStatePartiallySucceeded:
			yield(nil,
				fmt.Errorf("jobs: %s has no results: its state is %s", batch.Name, batch.State))
		case batch.Dest != nil && batch.Dest.FileName != "":
			lines(ctx, client, batch.Dest.FileName, yield)
		case batch.Dest != nil &&
			len(batch.Dest.InlinedResponses)+len(batch.Dest.InlinedEmbedContentResponses) > 0:
			inlined(batch.Dest, yield)
		default:
			yield(nil,
				fmt.Errorf("jobs: %s has neither an output file nor inlined responses", batch.Name))
		}
	}
}

func inlined(dest *genai.BatchJobDestination, yield func(*Response, error) bool) {
	for i, in := range dest.InlinedResponses {
		r := &Response{
			Index: i, Key: in.Metadata["key"], Metadata: in.Metadata, Content: in.Response,
			Error: in.Error,
		}
		if !yield(r, r.check()) {
			return
		}
	}
	for i, in := range dest.InlinedEmbedContentResponses {
		r := &Response{
			Index: i, Error: in.Error, Metadata: make(map[string]string, len(in.Metadata)),
		}
		for key, value := range in.Metadata {
			r.Metadata[key] = fmt.Sprint(value)
		}
		r.Key = r.Metadata["key"]
		if in.Response != nil {
			r.Embedding = in.Response.Embedding
		}
		if !yield(r, r.check()) {
			return
		}
	}
}

// check returns an error if a loop that looks at Error first would find nothing.
func (r *Response) check() error {
	if r.Content == nil && r.Embedding == nil && r.Error == nil {
		return fmt.Errorf("jobs: response %d has neither a content nor an error", r.Index)
	}
	return nil
}

// lines yields the lines of an output file.
func lines(
	ctx context.Context, client *genai.Client, name string, yield func(*Response, error) bool,
) {
	body, err := open(ctx, client, name)
	if err != nil {
		yield(nil, err)
		return
	}
	defer body.Close()
	scanner := bufio.NewScanner(body)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	for i := 0; scanner.Scan(); {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		r := &Response{Index: i, Raw: append(json.RawMessage(nil), scanner.Bytes()...)}
		err := r.decode()
		if err != nil {
			err = fmt.Errorf("jobs: %s: response %d cannot be read", name, i)
		}
		if !yield(r, err) {
			return
		}
		i++
	}
	err = scanner.Err()
	if errors.Is(err, bufio.ErrTooLong) { // every other error names the file
		err = fmt.Errorf("jobs: %s: a line is longer than %d bytes: %w", name, maxLine, err)
	}
	if err != nil {
		yield(nil, err)
	}
}

// decode reads Raw. Its error may quote the line, and so what a model wrote.
func (r *Response) decode() error {
	var line struct {
		Key      string
		Response json.RawMessage
		Error    *struct {
			Code    *int32
			Message string
		}
	}
	if err := json.Unmarshal(r.Raw, &line); err != nil {
		return err
	}
	r.Key = line.Key
	if line.Error != nil {
		r.Error = &genai.JobError{Code: line.Error.Code, Message: line.Error.Message}
	}
	if line.Response == nil {
		return r.check()
	}
	var embedding genai.SingleEmbedContentResponse
	if json.Unmarshal(line.Response, &embedding) == nil && embedding.Embedding != nil {
		r.Embedding = embedding.Embedding
		return nil
	}
	if err := json.Unmarshal(line.Response, &r.Content); err != nil {
		return err
	}
	return r.check() // the response may be null
}
