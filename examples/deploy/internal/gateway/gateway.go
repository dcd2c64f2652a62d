// Package gateway stands in for what Amazon puts in front of a Lambda function: API
// Gateway and function URLs, which turn an HTTP request into a JSON event, and the
// Runtime API, from which the function's process gets the event.
package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

// Invoke calls a Lambda function with an event and returns its response, both as
// JSON.
type Invoke func(ctx context.Context, event []byte) ([]byte, error)

// InProcess returns an [Invoke] for a function that [lambda.Start] accepts.
func InProcess(function any) Invoke { return lambda.NewHandler(function).Invoke }

// timeout is that of the Lambda function.
const timeout = time.Minute

// Gateway is an [http.Handler] that invokes a Lambda function for each request.
type Gateway struct {
	Invoke Invoke
	// REST means the events of REST APIs, which are payload format 1.0. Otherwise,
	// the events are those of HTTP APIs and function URLs, payload format 2.0.
	REST bool
	// Base64 means that bodies are encoded, as Amazon does with those that it
	// considers binary.
	Base64 bool
}

// ServeHTTP implements [http.Handler]. If the function fails, the response is 502.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	event := g.event(r, body)
	payload, err := json.Marshal(event)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// As at Amazon, nothing of the request's context reaches the function, not even
	// that the client has left.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	response, err := g.Invoke(ctx, payload)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	respond(w, response)
}

// event returns the event of a request.
func (g *Gateway) event(r *http.Request, body []byte) any {
	text := string(body)
	if g.Base64 {
		text = base64.StdEncoding.EncodeToString(body)
	}
	if g.REST {
		first := map[string]string{}
		for name, values := range r.Header {
			first[name] = values[0]
		}
		return events.APIGatewayProxyRequest{
			HTTPMethod: r.Method, Path: r.URL.Path, Headers: first, MultiValueHeaders: r.Header,
			Body: text, IsBase64Encoded: g.Base64,
		}
	}
	lower := map[string]string{} // several values of a header are joined by commas
	for name, values := range r.Header {
		lower[strings.ToLower(name)] = strings.Join(values, ",")
	}
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RawPath: r.URL.Path, RawQueryString: r.URL.RawQuery, Headers: lower,
		Body: text, IsBase64Encoded: g.Base64,
	}
	event.RequestContext.DomainName = "example.com"
	event.RequestContext.HTTP.Method = r.Method
	event.RequestContext.HTTP.Path = r.URL.Path
	return event
}

// respond writes the response of a function. A response that is streamed begins
// with its metadata and eight zero bytes.
func respond(w http.ResponseWriter, b []byte) {
	metadata, stream, streamed := bytes.Cut(b, make([]byte, 8))
	var response struct {
		StatusCode      int
		Headers         map[string]string
		Body            string
		IsBase64Encoded bool
	}
	if err := json.Unmarshal(metadata, &response); err != nil || response.StatusCode == 0 {
		http.Error(w, "the function's response has no status", http.StatusBadGateway)
		return
	}
	body := []byte(response.Body)
	if streamed {
		body = stream
	} else if response.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(response.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		body = decoded
	}
	for name, value := range response.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body) // the client may be gone
}
