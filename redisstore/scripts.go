package redisstore

import (
	"fmt"

	"github.com/geminihook/geminihook"
	"github.com/redis/go-redis/v9"
)

// The hash of a key has the fields t, the token of the claim; l, the end of the
// lease in microseconds; and a, the number of attempts. A claimed key has all
// three, a key that is done has no l, and a released one has neither t nor l.
//
// That way Complete and Release write with nothing but HDEL and PEXPIRE, which
// Redis permits when its memory is full. Otherwise events that were handled
// just then would be handled again.
var (
	// The result is the number of the attempt if the key was acquired, 0 if it is
	// done, and minus the rest of the lease, in microseconds, if it is in progress.
	// A claim with the token that the key has is the same attempt again.
	claimScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local token, lease, attempt = unpack(redis.call('HMGET', KEYS[1], 't', 'l', 'a'))
if token and not lease then return 0 end
if token and token ~= ARGV[1] and tonumber(lease) > now then return now - lease end
attempt = tonumber(attempt) or 0
if token ~= ARGV[1] then attempt = attempt + 1 end
redis.call('HSET', KEYS[1], 't', ARGV[1], 'l', string.format('%.0f', now + ARGV[2]), 'a', attempt)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return attempt`)

	completeScript = redis.NewScript(`
local token, lease, attempt = unpack(redis.call('HMGET', KEYS[1], 't', 'l', 'a'))
if not attempt then return -1 end
if token ~= ARGV[1] then return 0 end
if lease then
	redis.call('HDEL', KEYS[1], 'l')
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1`)

	releaseScript = redis.NewScript(`
local token, lease, attempt = unpack(redis.call('HMGET', KEYS[1], 't', 'l', 'a'))
if not attempt then return -1 end
if token ~= ARGV[1] or not lease then return 0 end
redis.call('HDEL', KEYS[1], 't', 'l')
return 1`)

	// HSET replaces a value with one of the same length. Redis refuses it as
	// the first write of a script when the memory is full, hence PEXPIRE is
	// first.
	renewScript = redis.NewScript(`
local token, lease, attempt = unpack(redis.call('HMGET', KEYS[1], 't', 'l', 'a'))
if not attempt then return -1 end
if token ~= ARGV[1] or not lease then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), ARGV[3]))
redis.call('HSET', KEYS[1], 'l', string.format('%.0f', now + ARGV[2]))
return 1`)
)

// The results of completeScript, releaseScript and renewScript.
const (
	held       = 1  // the token had the key
	notHeld    = 0  // the key exists, and the token does not have it
	unknownKey = -1 // the key does not exist
)

var (
	errNotHeld = fmt.Errorf(
		"redisstore: the token does not have the key: another claim has taken it, or it was "+
			"completed or released, perhaps by this call if the client sent it twice: %w",
		geminihook.ErrLeaseLost)

	errUnknownKey = fmt.Errorf(
		"redisstore: the server does not have the key: it restarted without its data, failed "+
			"over to a replica that lacked it or evicted it, or keep has passed: %w",
		geminihook.ErrLeaseLost)
)
