"""Deployment: each pod is a unit of its own, so that it scales freely.

Source: jobs.md §20.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.api.constants import Annotation, Label
from pykueue.api.kinds import DEPLOYMENT
from pykueue.api.objects import Obj
from pykueue.core.features import Features
from pykueue.integrations.base import GatedPods, JobIntegration, Template, queue_marks
from pykueue.integrations.podsets import PodSetWire, make_pod_set

TEMPLATE = Template("spec.template")


class Deployment(JobIntegration):
    """Interchangeable pods, admitted one by one."""

    name = "deployment"
    kind = DEPLOYMENT
    short_names = ("deploy",)
    hold = GatedPods(grouped=False)
    templates = (TEMPLATE,)

    def pod_sets(self, obj: Obj, features: Features) -> Sequence[PodSetWire]:
        """`main`, with one pod: each pod is a unit."""
        return [make_pod_set("main", TEMPLATE.of(obj) or {}, 1, features)]

    def template_marks(self, obj: Obj, template: Template, features: Features) -> tuple[dict[str, str], dict[str, str]]:
        """The pods are managed from the start; the queue's labels."""
        del template, features
        labels = {Label.MANAGED.value: "true"} | queue_marks(obj)
        return labels, {Annotation.POD_SUSPENDING_PARENT.value: self.name}
