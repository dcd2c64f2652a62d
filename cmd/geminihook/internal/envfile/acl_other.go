//go:build !linux

package envfile

// keepACL does nothing: the permissions of the file are all that is kept.
func keepACL(string, string) error { return nil }
