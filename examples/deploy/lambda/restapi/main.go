// Restapi receives Gemini webhooks in AWS Lambda, behind a REST API of API Gateway.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
	"github.com/geminihook/geminihook"
)

func main() {
	verifier, err := geminihook.NewHMAC(os.Getenv("GEMINI_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal("GEMINI_WEBHOOK_SECRET: ", err)
	}
	endpoint := &geminihook.Endpoint{
		Verifier:   verifier,
		RunTimeout: 25 * time.Second, // less than the timeout of the Lambda function, 30 seconds
	}
	lambda.Start(httpadapter.New(routes(endpoint, handle)).ProxyWithContext)
}

func routes(
	endpoint *geminihook.Endpoint, fn func(context.Context, *geminihook.Event) error,
) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /gemini", endpoint.Handler(fn))
	return mux
}

// handle is the place for the program's own work.
func handle(_ context.Context, ev *geminihook.Event) error {
	log.Printf("%s: %s", ev.Type, ev.JobID())
	return nil
}
