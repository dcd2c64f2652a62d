# Sourced by the scripts in this folder. They run in the root of the repository.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=github.com/geminihook/geminihook

# modules prints the folder of each module, the root first.
modules() {
	echo .
	find . -mindepth 2 -name go.mod -not -path '*/testdata/*' -exec dirname {} \; | sed 's|^\./||' | LC_ALL=C sort
}

# private matches the modules that are not released.
private='^(bench|chaos|tools|examples/.*|cmd/geminihook/browsertest|jobs/tabletest|sqlstore/drivertest)$'

# own prints the modules of this repository that the module in folder $1
# requires, directly or not.
own() {
	sed -nE "s|^(require)?[[:space:]]+(${root}[^[:space:]]*) v.*|\2|p" "$1/go.mod" | LC_ALL=C sort -u
}

# public_modules prints the released modules, each after the ones it requires: a
# go.mod lists all of those, so it is longer than any of theirs.
public_modules() {
	for m in $(modules | grep -Ev "$private"); do
		echo "$(own "$m" | wc -l) $m"
	done | sort -s -n -k 1,1 | awk '{ print $2 }'
}

# module_path prints the path of the module in folder $1.
module_path() {
	if test "$1" = .; then echo $root; else echo "$root/$1"; fi
}

# tag prints the tag of the module in folder $1 at version $2.
tag() {
	if test "$1" = .; then echo "$2"; else echo "$1/$2"; fi
}

# replaces tells whether the module in folder $1 finds this repository's modules
# by itself. One that does not needs go.work: see docs/decisions/modules.md.
replaces() {
	test -z "$(own "$1")" || grep -qE '=> \.\.' "$1/go.mod"
}

# in_module runs a command in folder $1, at the versions that its own go.mod
# requires if that is possible, rather than those of the whole workspace.
in_module() (
	if replaces "$1"; then export GOWORK=off; fi
	cd "$1" || exit
	shift
	"$@"
)
