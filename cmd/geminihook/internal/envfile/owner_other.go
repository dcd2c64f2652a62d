//go:build !unix

package envfile

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: the file inherits its access rights from the folder.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
