#!/usr/bin/env python3
"""Makes an input of fuzz_pages of a disk image: pieces.py IMAGE INPUT. What is full of one byte is left out."""
import struct
import sys

PIECE = 64

image = open(sys.argv[1], "rb").read()
pieces = []
for offset in range(0, len(image), PIECE):
    piece = image[offset : offset + PIECE]
    if len(set(piece)) == 1 and piece[0] in b"\0\xffxy":
        continue
    piece = piece.rstrip(b"\0")
    if pieces and pieces[-1][0] + PIECE * ((len(pieces[-1][1]) + PIECE - 1) // PIECE) == offset and \
            len(pieces[-1][1]) < 8192:
        last = pieces[-1][1]
        last.extend(bytes(-len(last) % PIECE))
        last.extend(piece)
    else:
        pieces.append((offset, bytearray(piece)))
with open(sys.argv[2], "wb") as out:
    for offset, piece in pieces:
        out.write(struct.pack("<IH", offset, len(piece)) + piece)
