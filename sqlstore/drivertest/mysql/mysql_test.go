package mysql_test

import (
	"os"
	"testing"

	"github.com/geminihook/geminihook/internal/testserver"
	"github.com/geminihook/geminihook/sqlstore/drivertest"
	_ "github.com/go-sql-driver/mysql"
)

var server testserver.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

func TestMySQL(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.MySQL(server.MySQL(t).URL, ""))
}
