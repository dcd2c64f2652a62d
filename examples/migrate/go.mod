module github.com/geminihook/geminihook/examples/migrate

go 1.26.0

replace (
	github.com/geminihook/geminihook => ../../
	github.com/geminihook/geminihook/redisstore => ../../redisstore
)

require (
	github.com/geminihook/geminihook v0.1.0
	github.com/geminihook/geminihook/redisstore v0.1.0
	github.com/redis/go-redis/v9 v9.23.0
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.48.0 // indirect
)
