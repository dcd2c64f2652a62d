// Package chaos has no code but a test: it kills receivers, restarts stores and
// cuts connections while events are delivered, and counts what ran.
package chaos
