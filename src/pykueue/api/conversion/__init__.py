"""Conversion of our kinds between v1beta1 and v1beta2."""

from pykueue.api.conversion.convert import VERSIONS, convert
from pykueue.api.conversion.review import review
from pykueue.api.conversion.topology import Domain, decode_domains, encode_slices

__all__ = ["VERSIONS", "Domain", "convert", "decode_domains", "encode_slices", "review"]
