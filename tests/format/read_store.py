#!/usr/bin/env python3
"""Reads a Holdfast store by docs/format.md alone; shares nothing with the programs.

    read_store.py STORE [--passphrase-file FILE | --key-file FILE] list
    read_store.py STORE [--passphrase-file FILE | --key-file FILE] restore POINT DISK OUT
"""
import argparse
import hashlib
import hmac
import json
import os
import struct
import sys
import uuid

import zstandard
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

RUN, NODE, TABLE = 1, 2, 3
ZSTD, SEALED = 1, 2
FANOUT = 128
ZERO = bytes(32)


def crc32c_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


CRC = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def check(condition, text):
    if not condition:
        raise SystemExit("the store is damaged: " + text)


def message_key(key, nonce):
    parts = []
    for i in (1, 2):
        mac = CMAC(algorithms.AES(key))
        mac.update(bytes([0, i]) + b"X\0" + nonce[:12])
        parts.append(mac.finalize())
    return b"".join(parts)


def unseal(key, sealed, associated):
    nonce = sealed[:24]
    return AESGCM(message_key(key, nonce)).decrypt(nonce[12:], sealed[24:], associated)


class Store:
    def __init__(self, directory, passphrase, key_file):
        self.directory = directory
        with open(os.path.join(directory, "holdfast-store.json"), encoding="utf-8") as file:
            self.description = json.load(file)
        check(self.description["holdfast_store"] == 1, "of another format")
        self.id = uuid.UUID(self.description["id"]).bytes
        self.chunk_size = self.description["chunk_size"]
        self.data_key = self.name_key = None
        if self.description["encryption"] is not None:
            self.unlock(self.description["encryption"], passphrase, key_file)
        self.places = {}
        self.scan()

    def unlock(self, encryption, passphrase, key_file):
        check(encryption["cipher"] == "XAES-256-GCM", "sealed with another cipher")
        self.key_number = encryption["key"]
        associated = b"HFK1" + self.id + struct.pack("<I", self.key_number)
        for slot in encryption["slots"]:
            salt = bytes.fromhex(slot["salt"])
            if slot["kind"] == "passphrase" and passphrase is not None:
                key = hashlib.scrypt(passphrase, salt=salt, n=slot["scrypt_n"], r=slot["scrypt_r"],
                                     p=slot["scrypt_p"], maxmem=2**31 - 1, dklen=32)
            elif slot["kind"] == "key file" and key_file is not None:
                extracted = hmac.digest(salt, key_file, "sha256")
                key = hmac.digest(extracted, b"holdfast store key\x01", "sha256")
            else:
                continue
            try:
                keys = unseal(key, bytes.fromhex(slot["wrapped"]), associated)
            except Exception:  # another secret
                continue
            self.data_key, self.name_key = keys[:32], keys[32:]
            return
        raise SystemExit("no secret opens the store")

    def stored_name(self, name):
        return name if self.name_key is None else hmac.digest(self.name_key, name, "sha256")

    def scan(self):
        for folder, _, files in sorted(os.walk(os.path.join(self.directory, "containers"))):
            for file in sorted(files):
                number = int(file.split(".")[0], 16)
                check(folder.endswith("%02x" % (number & 0xFF)), file + " lies in the wrong folder")
                self.scan_container(os.path.join(folder, file), number)

    def scan_container(self, path, number):
        with open(path, "rb") as file:
            header = file.read(64)
            check(header[:8] == b"HFCONT1\0" and crc32c(header[:60]) == struct.unpack("<I", header[60:])[0],
                  path + " has no header")
            version, _, store, found, chunk_size = struct.unpack("<II16sQI", header[8:44])
            check((version, store, found, chunk_size) == (1, self.id, number, self.chunk_size), path + " is another's")
            offset = 64
            while True:
                file.seek(offset)
                header = file.read(32)
                if len(header) < 32 or header[:4] != b"HFRC":
                    return
                kind, flags, count, _, length = struct.unpack("<BBBBI", header[4:12])
                total = 32 + 32 * count + length + 4
                names = file.read(32 * count)
                for i in range(count):
                    self.places.setdefault(names[32 * i:32 * i + 32], []).append((path, offset, total, i))
                offset += (total + 7) // 8 * 8

    def read_record(self, path, offset, total):
        """Kind and plain bytes; None when it is damaged."""
        with open(path, "rb") as file:
            file.seek(offset)
            record = file.read(total)
        if len(record) != total or crc32c(record[:-4]) != struct.unpack("<I", record[-4:])[0]:
            return None
        kind, flags, count, _, length, plain_length, key = struct.unpack("<BBBBIII", record[4:20])
        before = 32 + 32 * count
        payload = record[before:before + length]
        if self.data_key is not None:
            if not flags & SEALED or key != self.key_number:
                return None
            payload = unseal(self.data_key, payload, record[:before])
        if flags & ZSTD:
            payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=plain_length)
        return (kind, payload) if len(payload) == plain_length else None

    def read(self, name, wanted):
        """A chunk or node by its name; its bytes are what the name says."""
        for path, offset, total, position in self.places.get(self.stored_name(name), []):
            record = self.read_record(path, offset, total)
            if record is None or record[0] != wanted:
                continue
            data = record[1]
            if wanted == RUN:
                data = data[position * self.chunk_size:(position + 1) * self.chunk_size]
            if hashlib.sha256(data).digest() == name:
                return data
        raise SystemExit("the store is damaged: " + name.hex() + " is missing")

    def envelope(self, path):
        with open(path, "rb") as file:
            data = file.read()
        check(data[:8] == b"HFPOINT\0" and crc32c(data[:-4]) == struct.unpack("<I", data[-4:])[0], path)
        version, flags, _ = struct.unpack("<III", data[8:20])
        check(version == 1, path + " is of another version")
        payload = data[40:40 + struct.unpack("<I", data[32:36])[0]]
        if flags & 1:
            payload = unseal(self.data_key, payload, data[:40])
        return json.loads(payload)

    def points(self):
        folder = os.path.join(self.directory, "points")
        for file in sorted(os.listdir(folder)):
            if file.endswith(".hfp"):
                point = self.envelope(os.path.join(folder, file))
                check(point["id"] + ".hfp" == file, file + " is another point's record")
                yield point

    def chunks(self, name, level, first):
        """Yields (chunk index, chunk name) of everything that is not zeros."""
        if name == ZERO:
            return
        node = self.read(name, NODE)
        check(node[:4] == b"HFMN" and node[4] == level, "a map node is of another level")
        at = 24
        for i in range(FANOUT):
            if node[8 + i // 8] >> i % 8 & 1:
                entry = node[at:at + 32]
                at += 32
                index = first + i * FANOUT**level
                if level == 0:
                    yield index, entry
                else:
                    yield from self.chunks(entry, level - 1, index)
        check(at == len(node), "a map node has another length")

    def restore(self, point, name, out):
        disk = next(disk for disk in point["disks"] if disk["name"] == name)
        count = (disk["size"] + self.chunk_size - 1) // self.chunk_size
        level = 0
        while FANOUT ** (level + 1) < count:
            level += 1
        with open(out, "xb") as file:
            file.truncate(disk["size"])
            for index, chunk in self.chunks(bytes.fromhex(disk["root"]), level, 0):
                offset = index * self.chunk_size
                file.seek(offset)
                file.write(self.read(chunk, RUN)[:disk["size"] - offset])


def read_file(path, line):
    if path is None:
        return None
    with open(path, "rb") as file:
        data = file.read()
    return data.split(b"\n")[0].rstrip(b"\r") if line else data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--passphrase-file")
    parser.add_argument("--key-file")
    parser.add_argument("command", choices=["list", "restore"])
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    store = Store(given.store, read_file(given.passphrase_file, True), read_file(given.key_file, False))
    if given.command == "list":
        for point in store.points():
            print(point["id"], point["vm_name"], " ".join(disk["name"] for disk in point["disks"]))
    else:
        wanted, disk, out = given.arguments
        store.restore(next(point for point in store.points() if point["id"] == wanted), disk, out)


if __name__ == "__main__":
    sys.exit(main())
