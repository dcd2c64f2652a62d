package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/apierrors"
)

// requestError is a failed request. Its text is made for the log. The SDK's own
// texts can hold the whole body of a response, and so what a model wrote.
type requestError struct {
	what string // for example "batches/abc"
	text string
	err  error
}

func (e *requestError) Error() string { return "jobs: " + e.what + ": " + e.text }
func (e *requestError) Unwrap() error { return e.err }

// requestFailed wraps an error of the SDK. Its text has neither the API key, which
// the API quotes when it refuses one, nor the URL, which is signed if a file is
// redirected.
func requestFailed(key, what string, err error) error {
	e := &requestError{what: what, err: err, text: "the SDK could not read the response"}
	status, message := httpStatus(err)
	if inner, ok := errors.AsType[*url.Error](err); ok {
		e.text = firstWords(inner.Err.Error())
	}
	switch {
	case status != 0:
		e.text = strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
		if words := firstWords(withoutKey(key, message)); words != "" {
			e.text += ": " + words
		}
	case errors.Is(err, context.DeadlineExceeded):
		e.text = "no response in time"
	case errors.Is(err, context.Canceled):
		e.text = "canceled"
	}
	return e
}

func withoutKey(key, message string) string {
	if key == "" {
		return message
	}
	return strings.ReplaceAll(message, key, "...")
}

// notFound reports whether the API itself says that it does not know a job. A 404
// that does not have the form of the API's errors comes from something in between,
// such as a proxy, and says nothing about the job.
func notFound(err error) bool {
	e, ok := errors.AsType[genai.APIError](err)
	if other, invalid := errors.AsType[*apierrors.ResponseValidationError](err); invalid {
		// An error of an interaction in the form that the rest of the API has.
		e, ok = apiError(other.StatusCode, strings.NewReader(other.Body)), true
	}
	if ok {
		// If the body does not have the form of the API's errors, Status is the text
		// of the HTTP status.
		return codeOf(e) == http.StatusNotFound && (e.Status == "NOT_FOUND" || e.Status == "")
	}
	i, ok := errors.AsType[*apierrors.GetInteractionByIDClientError](err)
	return ok && statusOf(i.HTTPMeta.Response) == http.StatusNotFound &&
		(i.Error_.Code != nil || i.Error_.Message != nil)
}

// maxMessage bounds what a message of the API adds to a text, in bytes. Such
// messages are one sentence long; a proxy's may be a whole page.
const maxMessage = 200

// firstWords returns the first line of a message, shortened to maxMessage.
func firstWords(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) <= maxMessage {
		return s
	}
	s = s[:maxMessage]
	for !utf8.ValidString(s) && s != "" {
		s = s[:len(s)-1]
	}
	return s + "..."
}

// httpStatus returns the status of the response that an error of the SDK is about,
// and the message in it. The status is zero if there was no response. The SDK has
// two families of errors: one for interactions, and one for everything else.
func httpStatus(err error) (status int, message string) {
	if e, ok := errors.AsType[genai.APIError](err); ok {
		// "502 Bad Gateway": the message is the whole body.
		if strings.HasPrefix(e.Status, strconv.Itoa(e.Code)) {
			return codeOf(e), ""
		}
		return codeOf(e), e.Message
	}
	if e, ok := errors.AsType[*apierrors.GetInteractionByIDClientError](err); ok {
		return statusOf(e.HTTPMeta.Response), text(e.Error_.Message)
	}
	if e, ok := errors.AsType[*apierrors.GetInteractionByIDServerError](err); ok {
		return statusOf(e.HTTPMeta.Response), text(e.Error_.Message)
	}
	if e, ok := errors.AsType[*apierrors.ResponseValidationError](err); ok {
		return e.StatusCode, "the SDK could not read the error"
	}
	if e, ok := errors.AsType[*apierrors.APIError](err); ok {
		return e.StatusCode, e.Message
	}
	return 0, ""
}

// codeOf returns the HTTP status of an error. The SDK takes it from the body, which
// may have the name of the status and no number.
func codeOf(e genai.APIError) int {
	switch {
	case e.Code != 0:
		return e.Code
	case e.Status == "NOT_FOUND":
		return http.StatusNotFound
	case e.Status == "RESOURCE_EXHAUSTED":
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

func statusOf(response *http.Response) int {
	if response == nil {
		return 0
	}
	return response.StatusCode
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// retryInfo returns the delay that the details of an error ask for. Google's APIs
// send it in the body more often than in the header Retry-After.
func retryInfo(err error) time.Duration {
	e, _ := errors.AsType[genai.APIError](err)
	for _, detail := range e.Details {
		kind, _ := detail["@type"].(string)
		delay, _ := detail["retryDelay"].(string)
		if d, err := time.ParseDuration(delay); err == nil && strings.HasSuffix(kind, "google.rpc.RetryInfo") {
			return d
		}
	}
	return 0
}

// apiError returns the error in the body of a response.
func apiError(status int, body io.Reader) genai.APIError {
	var failure struct {
		Error *struct{ Message, Status string }
	}
	start, _ := io.ReadAll(io.LimitReader(body, 4<<10))
	if json.Unmarshal(start, &failure) != nil || failure.Error == nil {
		return genai.APIError{Code: status, Status: http.StatusText(status)} // as the SDK does
	}
	return genai.APIError{
		Code: status, Message: failure.Error.Message, Status: failure.Error.Status,
	}
}
