"""The explicit list of the job webhooks; those of disabled frameworks admit everything unchanged.

Source: webhooks.md §1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.integrations.settings import JobSettings
from pykueue.ports.admission import Webhook
from pykueue.webhooks.jobs.job import JobWebhook
from pykueue.webhooks.jobs.pod import PodWebhook
from pykueue.webhooks.jobs.templates import DeploymentWebhook, LeaderWorkerSetWebhook, StatefulSetWebhook


def job_webhooks(settings: JobSettings) -> Sequence[Webhook]:
    """One webhook per kind, enabled or not: the configuration objects list them all."""
    return (
        JobWebhook(settings),
        PodWebhook(settings),
        DeploymentWebhook(settings),
        StatefulSetWebhook(settings),
        LeaderWorkerSetWebhook(settings),
    )
