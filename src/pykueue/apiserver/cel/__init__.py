"""The Common Expression Language as far as Kubernetes' validation rules use it: text in, Python closure out.

`parser.py` makes a tree, `compiler.py` turns it into closures (checking fields against a schema where one is known),
`functions.py` is the library. Values are plain JSON values and the few types of `values.py`. Evaluation is bounded: every step of
a comprehension and every library call costs, and an expression that exceeds its budget fails.

Deliberately absent, with an error that says so: protobuf messages, `semver`, named formats.

Source: cel-spec "Language Definition"; Kubernetes documentation, "Common Expression Language in Kubernetes".
"""

from pykueue.apiserver.cel.compiler import Program, compile_expression
from pykueue.apiserver.cel.values import CelError

__all__ = ["CelError", "Program", "compile_expression"]
