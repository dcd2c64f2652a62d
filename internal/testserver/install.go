package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const installLimit = 10 * time.Minute

// findOrInstall returns the path of the server's binary.
func findOrInstall(e engine) (string, error) {
	binary, err := e.find()
	if err == nil {
		return binary, nil
	}
	apt, aptErr := exec.LookPath("apt-get")
	if aptErr != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("testserver: %w: install the package %s, or set %s", err, e.pkg, e.variable)
	}
	// One at a time: the processes of parallel tests would meet in dpkg's lock.
	unlock, err := lock(filepath.Join(os.TempDir(), "testserver-install.lock"))
	if err != nil {
		return "", fmt.Errorf("testserver: %w", err)
	}
	defer unlock()
	if binary, err := e.find(); err == nil {
		return binary, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), installLimit)
	defer cancel()
	for _, args := range [][]string{
		{"update"},
		{"install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", e.pkg},
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("testserver: apt-get %s for %s: %w:\n%s", args[0], e.pkg, err, out)
		}
	}
	if binary, err = e.find(); err != nil {
		return "", fmt.Errorf("testserver: the package %s is installed, but: %w", e.pkg, err)
	}
	return binary, nil
}
