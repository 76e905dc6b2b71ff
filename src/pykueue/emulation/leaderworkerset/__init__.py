"""The LeaderWorkerSet controller and its webhooks, emulated (spec: leaderworkerset.md part B)."""

from pykueue.emulation.leaderworkerset.controller import LeaderWorkerSetController
from pykueue.emulation.leaderworkerset.groups import LeaderWorkerSetPods
from pykueue.emulation.leaderworkerset.pods import LeaderWorkerSetPodWebhook
from pykueue.emulation.leaderworkerset.webhook import LeaderWorkerSetWebhook

__all__ = ["LeaderWorkerSetController", "LeaderWorkerSetPodWebhook", "LeaderWorkerSetPods", "LeaderWorkerSetWebhook"]
