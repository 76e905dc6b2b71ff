#!/usr/bin/env bash
# Build the real control plane that the conformance stage runs against, from pinned Go modules.
#
# usage: build.sh            prints the folder of the binaries on its last line
#
# The binaries are kept under ${PYKUEUE_CONTROLPLANE_CACHE:-~/.cache/pykueue/controlplane}/<hash of the pins>,
# so a second call returns at once. Cold, on two cores, this takes about 12 minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$(cd "$here" && cat build.sh ./*/go.mod ./*/go.sum ./*/tools.go | sha256sum | cut -c1-12)
out=${PYKUEUE_CONTROLPLANE_CACHE:-$HOME/.cache/pykueue/controlplane}/$pins
mkdir -p "$out"

version=v1.36.3
ldflags="-s -w"
ldflags+=" -X k8s.io/component-base/version.gitVersion=$version"
ldflags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"

build() { # build <tool> <module folder> <package>
	[ -x "$out/$1" ] && return
	echo "building $1 ..." >&2
	(cd "$here/$2" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$ldflags" -o "$out/.$1.new" "$3")
	mv "$out/.$1.new" "$out/$1"
}

command -v go >/dev/null || { echo "build.sh: Go 1.26 or newer is needed to build the control plane" >&2; exit 3; }
build etcd etcd go.etcd.io/etcd/server/v3
build kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver
build kube-controller-manager kubernetes k8s.io/kubernetes/cmd/kube-controller-manager
build kube-scheduler kubernetes k8s.io/kubernetes/cmd/kube-scheduler
build lws-controller lws sigs.k8s.io/lws/cmd
build kwok kwok sigs.k8s.io/kwok/cmd/kwok
build kubectl kubernetes k8s.io/kubernetes/cmd/kubectl
echo "$out"
