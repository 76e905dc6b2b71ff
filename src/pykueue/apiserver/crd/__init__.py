"""CustomResourceDefinitions: their own rules, the custom resources they define, and serving them.

`definition.py` is the strategy of a definition, `structural.py` checks its schemas, `custom.py` is the strategy of the
resources it defines, `serving.py` keeps the registry in step with the definitions in the store.
"""

from pykueue.apiserver.crd.definition import DefinitionStrategy, definition_resource
from pykueue.apiserver.crd.serving import CustomResources, resources_of

__all__ = ["CustomResources", "DefinitionStrategy", "definition_resource", "resources_of"]
