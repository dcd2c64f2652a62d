package mysql_test

import (
	"io"
	"log"
	"os"
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	"github.com/go-sql-driver/mysql"
)

var server testserver.Shared

func TestMain(m *testing.M) {
	// The driver logs connections that break, which some tests are about.
	_ = mysql.SetLogger(log.New(io.Discard, "", 0))
	os.Exit(server.Main(m))
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.MySQL(server.MySQL(t).URL))
}
