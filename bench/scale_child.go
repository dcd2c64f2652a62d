package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/pgstore"
	"github.com/geminihook/geminihook/redisstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

// receiverCommand is the first argument of a child. The others are the store, its URL
// and the number of connections.
const receiverCommand = "receiver"

// child is a receiver in another process.
type child struct {
	addr string
	cmd  *exec.Cmd
	in   io.Closer
}

func startChild(store, url string, connections int) *child {
	program, err := os.Executable()
	must(err)
	c := &child{cmd: exec.Command(program, receiverCommand, store, url, strconv.Itoa(connections))}
	c.cmd.Stderr = os.Stderr
	c.in, err = c.cmd.StdinPipe()
	must(err)
	out, err := c.cmd.StdoutPipe()
	must(err)
	must(c.cmd.Start())
	addr, err := bufio.NewReader(out).ReadString('\n')
	must(err)
	c.addr = strings.TrimSpace(addr)
	return c
}

func (c *child) end() {
	must(c.in.Close())
	must(c.cmd.Wait())
}

// receiverProcess is the main of a child: it prints its address and receives until
// its input ends.
func receiverProcess(store, url, connections string) error {
	n, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	verifier, err := geminihook.NewHMAC(right)
	if err != nil {
		return err
	}
	endpoint := &geminihook.Endpoint{
		Verifier: verifier, Logger: slog.New(slog.DiscardHandler),
	}
	switch store {
	case "redisstore":
		options, err := redis.ParseURL(url)
		if err != nil {
			return err
		}
		options.ContextTimeoutEnabled, options.PoolSize = true, n
		endpoint.Store = redisstore.New(redis.NewClient(options))
	case "pgstore":
		pool, err := pgxpool.New(context.Background(), fmt.Sprintf("%s&pool_max_conns=%d", url, n))
		if err != nil {
			return err
		}
		endpoint.Store = pgstore.New(pool)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	nothing := func(context.Context, *geminihook.Event) error { return nil }
	server := &http.Server{Handler: endpoint.Handler(nothing), ReadTimeout: readTimeout}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return server.Serve(listener)
}
