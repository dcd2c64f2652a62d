// Package chaos contains only tests: they kill receivers and sweepers, restart stores and
// cut connections while events are delivered, and count what ran.
package chaos
