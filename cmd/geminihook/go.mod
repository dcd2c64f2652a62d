module github.com/geminihook/geminihook/cmd/geminihook

go 1.26.0

require (
	github.com/geminihook/geminihook v0.1.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
