//go:build tools

// Package lws pins one tool of the conformance stage.
package lws

import _ "sigs.k8s.io/lws/cmd"
