//go:build tools

// Package kwok pins one tool of the conformance stage.
package kwok

import _ "sigs.k8s.io/kwok/cmd/kwok"
