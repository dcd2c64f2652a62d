module github.com/geminihook/geminihook/sqlstore

go 1.26.0

require github.com/geminihook/geminihook v0.1.0

require (
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/geminihook/geminihook => ../
