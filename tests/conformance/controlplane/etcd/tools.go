//go:build tools

// Package etcd pins one tool of the conformance stage.
package etcd

import _ "go.etcd.io/etcd/server/v3"
