"""Our definitions equal the published ones in every field except descriptions and the generator's mark."""

import pytest
import yaml

from pykueue.api.schema import all_crds, leaderworkerset_crd

OURS = {m["metadata"]["name"]: m for m in [*all_crds(), leaderworkerset_crd()]}


def reference(shared, name):
    plural, _, group = name.partition(".")
    folder = "kueue" if group == "kueue.x-k8s.io" else "lws"
    with (shared / "reference" / "crds" / folder / f"{group}_{plural}.yaml").open() as file:
        manifest = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    manifest["metadata"].pop("annotations")
    return manifest


def bare(value, *, names=False):
    """Without descriptions; `names` tells that the keys are property names."""
    if isinstance(value, dict):
        return {
            k: bare(v, names=k == "properties" and not names) for k, v in value.items() if names or k != "description"
        }
    return [bare(v) for v in value] if isinstance(value, list) else value


def differences(got, want, path=""):
    if isinstance(got, dict) and isinstance(want, dict):
        for key in sorted({*got, *want}):
            if key not in got or key not in want:
                yield f"{path}/{key}: {'missing' if key not in got else 'too much'}"
            else:
                yield from differences(got[key], want[key], f"{path}/{key}")
    elif isinstance(got, list) and isinstance(want, list) and len(got) == len(want):
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            yield from differences(g, w, f"{path}/{i}")
    elif got != want:
        yield f"{path}: {got!r} instead of {want!r}"


@pytest.mark.parametrize("name", OURS)
def test_definition_equals_the_published_one(shared, name):
    """The list of differences is empty."""
    assert list(differences(bare(OURS[name]), bare(reference(shared, name)))) == []


def test_every_published_kind_of_the_group_is_there(shared):
    """No kind was forgotten."""
    published = {p.stem.partition("_")[2] for p in (shared / "reference" / "crds" / "kueue").glob("*.yaml")}
    assert {n.partition(".")[0] for n in OURS} - {"leaderworkersets"} == published
