"""Damages a disc on purpose: finds directory records of its Joliet tree and changes them.

Source: ECMA-119 (8.4 volume descriptors, 9.1 directory records) and the Joliet specification (UCS-2 names, big endian).
"""

import struct

SECTOR = 2048


class Disc:
    """An image in memory. Positions are bytes from its start."""

    def __init__(self, path):
        self.data = bytearray(path.read_bytes())
        for sector in range(16, 64):
            place = sector * SECTOR
            kind, escape = self.data[place], bytes(self.data[place + 88:place + 91])
            if kind == 2 and escape in (b"%/@", b"%/C", b"%/E"):
                self.root = place + 156
                return
        raise ValueError("no Joliet volume descriptor")

    def extent(self, record):
        """First sector and bytes of the file or directory that a record describes."""
        return struct.unpack_from("<I", self.data, record + 2)[0], struct.unpack_from("<I", self.data, record + 10)[0]

    def set_extent(self, record, sector=None, size=None):
        if sector is not None:
            struct.pack_into("<I", self.data, record + 2, sector)
            struct.pack_into(">I", self.data, record + 6, sector)
        if size is not None:
            struct.pack_into("<I", self.data, record + 10, size)
            struct.pack_into(">I", self.data, record + 14, size)

    def rename(self, record):
        """The name's first character becomes another: nobody asks for it."""
        self.data[record + 34] = ord("~")

    def records(self, directory):
        """(name, position) of every entry of a directory, "." and ".." included as "\\0" and "\\1"."""
        sector, size = self.extent(directory)
        place, end = sector * SECTOR, sector * SECTOR + size
        while place < end:
            length = self.data[place]
            if length == 0:
                place = (place // SECTOR + 1) * SECTOR
                continue
            raw = bytes(self.data[place + 33:place + 33 + self.data[place + 32]])
            yield raw.decode("latin-1") if len(raw) == 1 else raw.decode("utf-16-be").split(";")[0], place
            place += length

    def find(self, path):
        """Position of the record of "extra/one.bin"."""
        record = self.root
        for part in path.split("/"):
            record = next((place for name, place in self.records(record) if name == part), None)
            if record is None:
                raise ValueError(f"{path} is not on the disc")
        return record

    def files(self, directory=None, prefix=""):
        """(path, record) of every file below a directory."""
        for name, place in self.records(self.root if directory is None else directory):
            if name in ("\0", "\1"):
                continue
            if self.data[place + 25] & 2:
                yield from self.files(place, f"{prefix}{name}/")
            else:
                yield prefix + name, place

    def write(self, path):
        path.write_bytes(self.data)
        return path
