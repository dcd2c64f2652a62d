module github.com/geminihook/geminihook/cmd/geminihook/browsertest

go 1.26.0

replace (
	github.com/geminihook/geminihook => ../../..
	github.com/geminihook/geminihook/cmd/geminihook => ..
)

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/geminihook/geminihook v0.1.0
	github.com/geminihook/geminihook/cmd/geminihook v0.1.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
