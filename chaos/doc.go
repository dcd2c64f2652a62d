// Package chaos has no code but tests: they kill receivers and sweepers, restart stores and
// cut connections while events are delivered, and count what ran.
package chaos
