package redisstore_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/redis/go-redis/v9"
)

func Example() {
	verifier, err := geminihook.NewHMAC("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	store := redisstore.New(client)
	if err := store.Check(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	endpoint := &geminihook.Endpoint{Verifier: verifier, Store: store}
	handler := endpoint.Handler(func(ctx context.Context, ev *geminihook.Event) error {
		fmt.Println(ev.Type, ev.ID)
		return nil
	})
	http.Handle("/webhooks/gemini", handler)
}

func ExampleNew_cluster() {
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{"redis-1:6379", "redis-2:6379"},
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	store := redisstore.New(client)
	store.Prefix = "orders:"
}
