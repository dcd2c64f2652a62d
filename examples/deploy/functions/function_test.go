package function

import (
	"crypto/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/examples/deploy/internal/deliveries"
	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { deliveries.Main(m, serve) }

// serve is the program that Google's build makes of the package.
func serve() { _ = funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT")) }

func TestNeedsSecret(t *testing.T) { deliveries.NeedsSecret(t, "FUNCTION_TARGET=Gemini") }

// TestDeliveries has the framework serve a function like the program's.
func TestDeliveries(t *testing.T) {
	receiver := deliveries.New(t)
	name := rand.Text() // the framework keeps it, also when the test is repeated
	functions.HTTP(name, receiver.Endpoint.Handler(receiver.Handle).ServeHTTP)
	t.Setenv("FUNCTION_TARGET", name)
	receiver.Check(t, listen(t, func(port string) {
		// It serves until the test process ends.
		go func() { _ = funcframework.StartHostPort("127.0.0.1", port) }()
	}))
}

// TestProgram runs the program itself.
func TestProgram(t *testing.T) {
	secret := webhooktest.RandomSecret()
	url := listen(t, func(port string) {
		cmd := deliveries.Program(t, "FUNCTION_TARGET=Gemini", "PORT="+port,
			"GEMINI_WEBHOOK_SECRET="+secret)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	})
	genuine := webhooktest.New(geminihook.EventBatchSucceeded, webhooktest.Static(secret))
	assert.Equal(t, http.StatusOK, deliveries.Post(t, url, genuine))
	assert.Equal(t, http.StatusBadRequest, deliveries.Post(t, url, genuine.WrongSecret()))
}

// listen finds a free port, because the framework cannot, and returns the URL of the
// server once it listens there.
func listen(t *testing.T, start func(port string)) string {
	t.Helper()
	free, err := testserver.FreePort()
	require.NoError(t, err)
	port := strconv.Itoa(free)
	start(port)
	address := net.JoinHostPort("127.0.0.1", port)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	}, time.Minute, 10*time.Millisecond)
	return "http://" + address + "/"
}
