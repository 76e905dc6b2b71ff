"""The conversion webhook's answer: `apiextensions.k8s.io/v1` ConversionReview in, ConversionReview out.

Who serves it only moves the bytes. All objects are converted or none is: the API server fails the request on the first fault,
which is told with the object that has it.
"""

from __future__ import annotations

from typing import Any

from pykueue.api.conversion.convert import convert
from pykueue.api.objects import Obj, key

API_VERSION, KIND = "apiextensions.k8s.io/v1", "ConversionReview"


def review(body: Obj) -> dict[str, Any]:
    """Answer a ConversionReview.

    Raises:
        ValueError: the body is not a ConversionReview of version v1 with a request.
    """
    request = body.get("request")
    if (body.get("apiVersion"), body.get("kind")) != (API_VERSION, KIND) or not isinstance(request, dict):
        raise ValueError(f"expected a {KIND} of {API_VERSION} with a request")
    response: dict[str, Any] = {"uid": request.get("uid", "")}
    converted: list[Obj] = []
    for obj in request.get("objects") or ():
        try:
            converted.append(convert(obj, str(request.get("desiredAPIVersion") or "")))
        except ValueError as error:
            result = {"status": "Failure", "message": f"{key(obj)}: {error}"}
            return {"apiVersion": API_VERSION, "kind": KIND, "response": {**response, "result": result}}
    response |= {"result": {"status": "Success"}, "convertedObjects": converted}
    return {"apiVersion": API_VERSION, "kind": KIND, "response": response}
