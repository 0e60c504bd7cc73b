"""The moves of weights and alphas: DARTS, MiLeNAS, random search, stopping.

Called, the package is `jaxnas.api.search`: the room and the verb have one name, and whoever writes
`jaxnas.search(config)` shall not depend on what was imported before.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    def __call__(self, config: Any, **options: Any) -> Any:
        return import_module("jaxnas.api").search(config, **options)


sys.modules[__name__].__class__ = _Room
