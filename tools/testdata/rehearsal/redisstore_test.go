package user_test

import (
	"testing"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
)

func TestStore(t *testing.T) {
	client := redis.NewClient(&redis.Options{
		Addr: testserver.NewRedis(t).Addr, ContextTimeoutEnabled: true,
	})
	defer func() { _ = client.Close() }()
	deliver(t, &geminihook.Endpoint{Store: redisstore.New(client)})
}
