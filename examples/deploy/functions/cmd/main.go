// Cmd runs the function on your machine.
//
//	GEMINI_WEBHOOK_SECRET=whsec_... FUNCTION_TARGET=Gemini go run ./functions/cmd
package main

import (
	"cmp"
	"log"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	_ "github.com/geminihook/geminihook/examples/deploy/functions" // registers the function
)

func main() {
	port := cmp.Or(os.Getenv("PORT"), "8080")
	if err := funcframework.StartHostPort("127.0.0.1", port); err != nil {
		log.Fatal(err)
	}
}
