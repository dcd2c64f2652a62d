package jobs

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/genai"
)

// apiClient is what every request of this package goes through. It sends the API key
// only to the address of the program's client. Only newAPIClient makes one.
type apiClient struct {
	sdk    *genai.Client
	http   *http.Client
	config genai.ClientConfig
	base   *url.URL
}

// newAPIClient returns a client like the given one. The given client itself is not
// changed.
func newAPIClient(like *genai.Client) (*apiClient, error) {
	if like == nil {
		return nil, errors.New("the client is nil")
	}
	config := like.ClientConfig()
	if config.Backend != genai.BackendGeminiAPI {
		return nil, errors.New("the client is not for the Gemini API")
	}
	base, err := url.Parse(config.HTTPOptions.BaseURL)
	if err != nil {
		return nil, errors.New("the client's BaseURL is not a URL") // which may have a password
	}
	httpClient := *config.HTTPClient
	httpClient.Transport = guard{next: httpClient.Transport, base: base}
	config.HTTPClient = &httpClient
	// The SDK has filled these from the environment, but refuses them from a
	// configuration.
	config.Project, config.Location = "", ""
	if config.APIKey != "" {
		config.Credentials = nil // refused together with a key, for the same reason
	}
	sdk, err := genai.NewClient(context.Background(), &config)
	if err != nil {
		// The SDK's text has the whole configuration in it, with the key.
		return nil, errors.New("the SDK cannot make a client like it")
	}
	return &apiClient{sdk: sdk, http: &httpClient, config: config, base: base}, nil
}

// guard is the transport of an apiClient. After a redirect to another address, net/http
// keeps headers that it does not know, such as x-goog-api-key. So guard removes every
// header but Accept from a request to another address than the API's, even if only the
// port or the scheme differs. A transport of the program's client that adds credentials by
// itself adds them to that request, too.
type guard struct {
	next http.RoundTripper
	base *url.URL
}

// RoundTrip implements [http.RoundTripper]. It also notes the reply for a gate.
func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.URL.Scheme == g.base.Scheme && strings.EqualFold(req.URL.Host, g.base.Host)
	if !own {
		req = req.Clone(req.Context())
		accept := req.Header.Values("Accept")
		req.Header = http.Header{}
		if len(accept) > 0 {
			req.Header["Accept"] = accept
		}
	}
	next := g.next
	if next == nil {
		next = http.DefaultTransport
	}
	response, err := next.RoundTrip(req)
	if r, ok := req.Context().Value(replyKey{}).(*reply); ok && err == nil {
		r.set(response)
	}
	return response, err
}
