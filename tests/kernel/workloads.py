"""Programs that containers of more than one test run; each says when it is ready."""

HOLD = """
import mmap, sys
size = int(sys.argv[1])
block = mmap.mmap(-1, size)
for offset in range(0, size, 4096):
    block[offset] = 1
print("ready", flush=True)
sys.stdin.read()
"""
"""Holds so many bytes of memory until its input ends."""
