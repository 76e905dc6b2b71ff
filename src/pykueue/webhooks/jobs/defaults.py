"""What every job gets on the way in: the namespace's default queue, the default priority class.

Source: jobs.md §2.4, webhooks.md §4.
"""

from __future__ import annotations

from pykueue.api import objects
from pykueue.api.constants import DEFAULT_LOCAL_QUEUE, DEFAULT_PRIORITY_CLASS, Label
from pykueue.api.kinds import LOCAL_QUEUE, WORKLOAD_PRIORITY_CLASS
from pykueue.api.objects import Obj
from pykueue.core.features import Gate
from pykueue.integrations.ancestors import has_managed_owner_kind
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.ports.admission import AdmissionRequest
from pykueue.ports.reader import Reader


def with_namespace(request: AdmissionRequest) -> Obj:
    """The object under admission, with its namespace even if only the request says it."""
    obj = request.obj
    return obj if objects.namespace(obj) else objects.with_metadata(obj, namespace=request.namespace)


def with_defaults(obj: Obj, reader: Reader, settings: JobSettings) -> Obj:
    """The job with its default queue and priority class, where it has none; itself if nothing is missing."""
    if has_managed_owner_kind(obj, settings):
        return obj
    namespace = objects.namespace(obj)
    if (
        Label.QUEUE_NAME not in objects.labels(obj)
        and reader.get(LOCAL_QUEUE, namespace, DEFAULT_LOCAL_QUEUE) is not None
        and settings.selects_namespace(reader, namespace)
    ):
        obj = with_label(obj, Label.QUEUE_NAME, DEFAULT_LOCAL_QUEUE)
    is_handled = bool(queue_name(obj)) or settings.config.manage_jobs_without_queue_name
    if (
        is_handled
        and settings.features[Gate.WORKLOAD_PRIORITY_CLASS_DEFAULTING]
        and Label.PRIORITY_CLASS not in objects.labels(obj)
        and reader.get(WORKLOAD_PRIORITY_CLASS, "", DEFAULT_PRIORITY_CLASS) is not None
    ):
        obj = with_label(obj, Label.PRIORITY_CLASS, DEFAULT_PRIORITY_CLASS)
    return obj


def with_label(obj: Obj, key: str, value: str) -> Obj:
    """The object with one label set."""
    return objects.with_metadata(obj, labels={**objects.labels(obj), str(key): value})
