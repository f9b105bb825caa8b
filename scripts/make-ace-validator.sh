#!/bin/sh
# make-ace-validator.sh FILE: builds appc's own validator of executors as a static program, from the sources that Debian
# has of the specification. Needs golang-go and golang-github-appc-spec-dev.
set -eu
out=${1:?usage: make-ace-validator.sh FILE}
sources=/usr/share/gocode
if ! [ -d "$sources/src/github.com/appc/spec/ace" ] || ! command -v go >/dev/null; then
  echo 'make-ace-validator.sh: golang-go or golang-github-appc-spec-dev is missing' >&2
  echo '  try: apt-get install golang-go golang-github-appc-spec-dev' >&2
  exit 1
fi
mkdir -p "$(dirname "$out")"
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cd "$sources/src/github.com/appc/spec/ace"
HOME=$cache GOCACHE=$cache GOPATH=$sources GO111MODULE=off CGO_ENABLED=0 go build -o "$cache/ace-validator" .
cp "$cache/ace-validator" "$out.part"
mv "$out.part" "$out"
