#!/bin/sh
# make-appc-tools.sh FOLDER: builds appc's own validator of executors (ace-validator) and its tool for images and manifests
# (actool) as static programs, from the sources that Debian has of the specification.
# Needs golang-go and golang-github-appc-spec-dev with its dependencies.
set -eu
out=${1:?usage: make-appc-tools.sh FOLDER}
sources=/usr/share/gocode
if ! [ -d "$sources/src/github.com/appc/spec/ace" ] || ! command -v go >/dev/null; then
  echo 'make-appc-tools.sh: golang-go or golang-github-appc-spec-dev is missing' >&2
  echo '  try: apt-get install golang-go golang-github-appc-spec-dev' >&2
  exit 1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
HOME=$cache GOCACHE=$cache GOPATH=$sources GO111MODULE=off CGO_ENABLED=0
export HOME GOCACHE GOPATH GO111MODULE CGO_ENABLED
# build PROGRAM PACKAGE
build() {
  (cd "$sources/src/github.com/appc/spec/$2" && go build -o "$cache/$1" .)
  cp "$cache/$1" "$out/$1.part"
  mv "$out/$1.part" "$out/$1"
}
build ace-validator ace
build actool actool
