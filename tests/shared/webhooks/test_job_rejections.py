"""What the job webhooks refused on a real cluster, asked of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pykueue.api.errors import join_field_errors
from pykueue.api.kinds import DEPLOYMENT, LEADER_WORKER_SET, POD, STATEFUL_SET
from pykueue.ports.admission import AdmissionRequest, Operation
from shared.conftest import SHARED
from support.jobs import JobWorld

KINDS = {kind.kind: kind for kind in (POD, DEPLOYMENT, STATEFUL_SET, LEADER_WORKER_SET)}


def cases() -> list[Any]:
    found = []
    for area in ("lws/rejections", "webhook/pod"):
        folder = Path(SHARED) / "golden/scenarios" / area
        errors = json.loads((folder / "expected.json").read_text())["errors"]
        for step in yaml.safe_load((folder / "scenario.yaml").read_text())["steps"]:
            refused = step.get("expect-error") or {}
            objs = refused.get("create") or refused.get("apply") or []
            texts = errors.get(refused.get("name"), [])
            if len(objs) == 1 and texts and texts[0].startswith('admission webhook "v'):
                found.append(pytest.param(objs[0], texts, id=f"{area}: {refused['name']}"))
    return found


@pytest.mark.parametrize(("obj", "want"), cases())
def test_refused_as_seen(obj: dict[str, Any], want: list[str]) -> None:
    """The same faults in the same words."""
    world = JobWorld()
    kind = KINDS[obj["kind"]]
    webhook = world.webhooks[kind]
    made = webhook.default(AdmissionRequest(Operation.CREATE, kind, "ns", "x", obj), world.reader)
    errors = webhook.validate(AdmissionRequest(Operation.CREATE, kind, "ns", "x", made), world.reader)
    assert errors
    prefix = f'admission webhook "v{kind.kind.lower()}.kb.io" denied the request: '
    assert prefix + join_field_errors(errors) in want
