"""CEL rules along an object: the cases of a real server are in `crd/test_custom.py`."""

from pykueue.apiserver.schema.rules import compile_rules
from pykueue.apiserver.schema.types import from_crd


def test_a_rule_about_the_object_itself_has_no_path() -> None:
    """A real server calls it `<nil>`."""
    rule = {"rule": "self.a == oldSelf.a", "message": "a stays"}
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-validations": [rule]}
    run = compile_rules(from_crd(schema))
    assert run is not None
    errors = []
    run({"a": "new"}, {"a": "old"}, None, errors)
    assert [str(error) for error in errors] == ["<nil>: Invalid value: a stays"]
