"""The conversion webhook's answer."""

import pytest

from pykueue.api.conversion import review

V1, V2 = "kueue.x-k8s.io/v1beta1", "kueue.x-k8s.io/v1beta2"


def ask(*objects, desired=V2):
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "request": {"uid": "u", "desiredAPIVersion": desired, "objects": list(objects)},
    }


def test_all_objects_are_converted_in_order():
    """The answer carries the request's uid."""
    older = {"apiVersion": V1, "kind": "ClusterQueue", "metadata": {"name": "a"}, "spec": {"cohort": "c"}}
    newer = {"apiVersion": V2, "kind": "ClusterQueue", "metadata": {"name": "b"}}
    assert review(ask(older, newer)) == {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "response": {
            "uid": "u",
            "result": {"status": "Success"},
            "convertedObjects": [
                {"apiVersion": V2, "kind": "ClusterQueue", "metadata": {"name": "a"}, "spec": {"cohortName": "c"}},
                newer,
            ],
        },
    }


def test_a_fault_fails_the_whole_request_and_names_the_object():
    """The API server shows the message."""
    obj = {"apiVersion": V1, "kind": "Workload", "metadata": {"namespace": "ns", "name": "w"}}
    response = review(ask(obj, desired="kueue.x-k8s.io/v2"))["response"]
    assert response["result"]["status"] == "Failure"
    assert response["result"]["message"].startswith("ns/w: cannot convert Workload from ")
    assert "convertedObjects" not in response


@pytest.mark.parametrize("body", [{}, {"apiVersion": "v1", "kind": "Pod"}, {**ask(), "request": None}])
def test_other_bodies_are_refused(body):
    """The caller turns this into a bad request."""
    with pytest.raises(ValueError, match=r"expected a ConversionReview of apiextensions\.k8s\.io/v1 with a request"):
        review(body)
