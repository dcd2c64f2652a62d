module github.com/geminihook/geminihook/sqlstore

go 1.26.0

require github.com/geminihook/geminihook v0.1.0

replace github.com/geminihook/geminihook => ../
