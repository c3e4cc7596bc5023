"""What koordlet, the node agent of Koordinator, uses with its PSI and CPI collectors, as its maintainers
published it: what ours is held against."""

from typing import Final

CONTAINERS: Final = 150
MILLICORES: Final = 600.0
MEMORY_BYTES: Final = 366 << 20
MILLICORES_PER_CONTAINER: Final = MILLICORES / CONTAINERS
