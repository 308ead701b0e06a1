"""Late imports: torch and its like take longer to import than the page takes to open.

Modules of the page import what needs them inside functions, under this lock: two threads that
import packages with cycles among them may find each other's modules half made.
"""

import threading

IMPORTING = threading.Lock()
