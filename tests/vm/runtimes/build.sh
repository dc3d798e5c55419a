#!/bin/bash
# Compiles, inside the tree of a release that has the compilers, what guest/20-runtimes.sh runs; nothing where it is newer than its source.
# usage: build.sh DIRECTORY GO-CACHE
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
to=$1
[ -z "$(find "$here" -newer "$to/made" 2>&1)" ] && exit
mkdir -p "$to"
cp "$here"/workers.py "$here"/workers.js "$here"/puma.rb "$to"
gcc -O1 -fopenmp -o "$to/openmp" "$here/openmp.c"
rustc -O --edition 2021 -o "$to/rust" "$here/workers.rs"
GO111MODULE=off GOCACHE=$2 GOFLAGS=-buildvcs=false go build -o "$to/go" "$here/workers.go"
javac -d "$to" "$here/Workers.java"
touch "$to/made"
