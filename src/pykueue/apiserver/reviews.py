"""Reviews: objects that are questions, answered at once and never stored.

`kubectl auth can-i` and `kubectl auth whoami` ask them. Authorization is not enforced yet (see `handler.py`), so every access
review says yes and says why; that is the truth about this server.
"""

from __future__ import annotations

from typing import Any

from pykueue.apiserver.backend import Backend
from pykueue.apiserver.bodies import check_said_kind, read_object
from pykueue.apiserver.messages import HttpRequest, Target

_REASON = "the embedded server does not enforce authorization: every authenticated user may do everything"

REVIEWS: dict[tuple[str, str], str] = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "subjectaccessreviews"): "SubjectAccessReview",
    ("authorization.k8s.io", "localsubjectaccessreviews"): "LocalSubjectAccessReview",
    ("authorization.k8s.io", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    ("authentication.k8s.io", "selfsubjectreviews"): "SelfSubjectReview",
}
"""Group and plural to kind; all in version v1."""


def review(backend: Backend, request: HttpRequest, target: Target) -> dict[str, Any] | None:
    """Answer a review; None if the path is not one.

    Raises:
        BadRequest: the body is not the review that the path names.
    """
    del backend
    kind = REVIEWS.get((target.group, target.plural))
    if kind is None or target.version != "v1" or request.method != "POST" or target.name:
        return None
    body, _ = read_object(request, kind)
    check_said_kind(body, kind, f"{target.group}/v1")
    return {
        "apiVersion": f"{target.group}/v1",
        "kind": kind,
        **body,
        "metadata": body.get("metadata") or {},
        "status": _status(kind, request),
    }


def _status(kind: str, request: HttpRequest) -> dict[str, Any]:
    if kind == "SelfSubjectReview":
        user: dict[str, Any] = {"username": request.user.name, "groups": list(request.user.groups)}
        if request.user.uid:
            user["uid"] = request.user.uid
        return {"userInfo": user}
    if kind == "SelfSubjectRulesReview":
        return {
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        }
    return {"allowed": True, "reason": _REASON}
