// Package browsertest tests the page of "geminihook listen" in a real Chromium.
// It is a module because of the driver of the browser. It has no code but tests.
package browsertest
