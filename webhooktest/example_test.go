package webhooktest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"testing/fstest"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// handler stands in for the program's own handler. It fails for events of a type
// that it does not know.
func handler() http.Handler {
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	return endpoint.Handler(func(_ context.Context, ev *geminihook.Event) error {
		if _, ok := ev.Data.(*geminihook.Unknown); ok {
			return errors.New("unknown event type")
		}
		return nil
	})
}

// Test a handler with a genuine delivery, a duplicate of it, and a forged
// delivery.
func Example() {
	runs := 0
	verifier, err := geminihook.NewHMAC(webhooktest.TestSecret)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier}
	handler := endpoint.Handler(func(context.Context, *geminihook.Event) error {
		runs++
		return nil
	})
	signer := webhooktest.Static(webhooktest.TestSecret)
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, signer)
	for _, delivery := range []*webhooktest.Delivery{genuine, genuine, genuine.WrongSecret()} {
		fmt.Println(webhooktest.Post(handler, delivery), runs)
	}
	// Output:
	// 200 1
	// 200 1
	// 400 1
}

func ExampleNew() {
	signer := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.New(geminihook.EventVideoGenerated, signer)
	recorder := httptest.NewRecorder()
	handler().ServeHTTP(recorder, delivery.Request("/gemini"))
	fmt.Println(recorder.Code)
	// Output:
	// 200
}

// An event about a job of the test's own, which was created with metadata.
func ExampleNewData() {
	data := &geminihook.BatchSucceeded{ID: "batches/42", OutputFileURI: "gs://my-bucket/42.jsonl"}
	delivery := webhooktest.NewData(data, webhooktest.Static(webhooktest.TestSecret)).
		WithMetadata(map[string]any{"order": "1042"})
	ev, err := geminihook.ParseUnverified(delivery.Body)
	fmt.Println(ev.JobID(), ev.UserMetadata["order"], err)
	fmt.Println(webhooktest.Post(handler(), delivery))
	// Output:
	// batches/42 1042 <nil>
	// 200
}

func ExampleNewBody() {
	// A type that this package does not know.
	body := []byte(`{"type":"batch.paused","data":{"id":"batch_1"}}`)
	delivery := webhooktest.NewBody(body, webhooktest.Static(webhooktest.TestSecret))
	recorder := httptest.NewRecorder()
	handler().ServeHTTP(recorder, delivery.Request("/gemini"))
	fmt.Println(recorder.Code)
	// Output:
	// 500
}

func ExampleDelivery() {
	static := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.New(geminihook.EventBatchFailed, static)
	for _, bad := range []*webhooktest.Delivery{
		delivery.Stale(),
		delivery.Future(),
		delivery.Tampered(),
		delivery.WrongSecret(),
		delivery.Oversized(1 << 20),
	} {
		recorder := httptest.NewRecorder()
		handler().ServeHTTP(recorder, bad.Request("/gemini"))
		fmt.Println(recorder.Code)
	}
	// Output:
	// 400
	// 400
	// 400
	// 400
	// 413
}

func ExampleDelivery_Rotated() {
	old := webhooktest.Static(webhooktest.RandomSecret())
	fresh := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.New(geminihook.EventBatchFailed).Rotated(old, fresh)
	recorder := httptest.NewRecorder()
	handler().ServeHTTP(recorder, delivery.Request("/gemini"))
	fmt.Println(recorder.Code)
	// Output:
	// 200
}

// A retry has the id of the first attempt, and a fresh timestamp and signature.
func ExampleDelivery_Sign() {
	static := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.New(geminihook.EventBatchFailed, static)
	retry := delivery.Clone().Sign(time.Now().Add(30*time.Second), static)
	fmt.Println(retry.ID() == delivery.ID())
	// Output:
	// true
}

func ExampleDelivery_SetID() {
	delivery := webhooktest.NewBody(webhooktest.Body(geminihook.EventBatchFailed))
	delivery.SetID("msg_1")
	delivery.Sign(time.Unix(1769083205, 0), webhooktest.Static(webhooktest.TestSecret))
	fmt.Println(delivery.Header.Get("webhook-signature"))
	// Output:
	// v1,3+N2bw7Ubj+qYzRxtcIH02pXb7XBykFjA8lC4fepx1w=
}

func ExampleDelivery_ClientRequest() {
	server := httptest.NewServer(handler())
	defer server.Close()
	signer := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.New(geminihook.EventBatchFailed, signer)
	request, err := delivery.ClientRequest(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.StatusCode, response.Body.Close())
	// Output:
	// 200 <nil>
}

func ExampleDelivery_Write() {
	signer := webhooktest.Static(webhooktest.TestSecret)
	delivery := webhooktest.NewBody([]byte(`{"type":"batch.expired"}`), signer)
	var file bytes.Buffer
	if err := delivery.Write(&file); err != nil {
		log.Fatal(err)
	}
	again, err := webhooktest.Read(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(again.Body), again.ID() == delivery.ID())
	// Output:
	// {"type":"batch.expired"} true
}

// Recorded deliveries are older than the tolerance. Sign them again, or set the
// clock of the verifier.
func ExampleLoad() {
	recorded, err := webhooktest.Load(os.DirFS("../testdata/deliveries"), "batch.*.http")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range recorded {
		r.Sign(time.Now(), webhooktest.Static(webhooktest.TestSecret))
		recorder := httptest.NewRecorder()
		handler().ServeHTTP(recorder, r.Request("/gemini"))
		fmt.Println(r.Name, recorder.Code)
	}
	// Output:
	// batch.cancelled 200
	// batch.expired 200
	// batch.failed 200
	// batch.succeeded 200
}

func ExampleRead() {
	_, err := webhooktest.Read(bytes.NewReader([]byte("not a request")))
	fmt.Println(err != nil)
	// Output:
	// true
}

func ExampleRecorded() {
	file := "POST / HTTP/1.1\r\nHost: localhost\r\nWebhook-Id: msg_1\r\nContent-Length: 2\r\n\r\n{}"
	recorded, err := webhooktest.Load(fstest.MapFS{"empty.http": {Data: []byte(file)}}, "*.http")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(recorded[0].Name, recorded[0].ID(), string(recorded[0].Body))
	// Output:
	// empty msg_1 {}
}

func ExampleBodyWith() {
	metadata := map[string]any{"order": "1042"}
	body := webhooktest.BodyWith(geminihook.EventBatchExpired, metadata)
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		log.Fatal(err)
	}
	fmt.Println(indented.String())
	// Output:
	// {
	//   "type": "batch.expired",
	//   "version": "v1",
	//   "timestamp": "2026-01-22T12:00:00Z",
	//   "data": {
	//     "id": "batch_123456"
	//   },
	//   "user_metadata": {
	//     "order": "1042"
	//   }
	// }
}

func ExampleTypes() {
	for _, t := range webhooktest.Types() {
		ev, err := geminihook.ParseUnverified(webhooktest.Body(t))
		fmt.Printf("%s %T %v\n", t, ev.Data, err)
	}
	// Output:
	// batch.succeeded *geminihook.BatchSucceeded <nil>
	// batch.failed *geminihook.BatchFailed <nil>
	// batch.expired *geminihook.BatchExpired <nil>
	// batch.cancelled *geminihook.BatchCancelled <nil>
	// interaction.requires_action *geminihook.InteractionRequiresAction <nil>
	// interaction.completed *geminihook.InteractionCompleted <nil>
	// interaction.failed *geminihook.InteractionFailed <nil>
	// interaction.cancelled *geminihook.InteractionCancelled <nil>
	// video.generated *geminihook.VideoGenerated <nil>
}
