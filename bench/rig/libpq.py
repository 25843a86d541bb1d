"""The few functions of PostgreSQL's own client library that the measurement needs, without a layer that would be measured too."""

import ctypes
import ctypes.util

CONNECTION_OK, COMMAND_OK = 0, 1


class Library:
    def __init__(self):
        try:
            library = self.library = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
        except OSError as error:
            raise OSError(f"libpq (Debian: libpq5): {error}") from None
        for name in ("PQconnectdb", "PQexec", "PQexecParams"):
            getattr(library, name).restype = ctypes.c_void_p
        library.PQerrorMessage.restype = ctypes.c_char_p
        library.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        pointers = ctypes.c_void_p
        library.PQexecParams.argtypes = [
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, pointers, ctypes.POINTER(ctypes.c_char_p), pointers, pointers, ctypes.c_int
        ]
        for name in ("PQstatus", "PQerrorMessage", "PQfinish", "PQresultStatus", "PQclear"):
            getattr(library, name).argtypes = [ctypes.c_void_p]

    def connect(self, conninfo):
        connection = self.library.PQconnectdb(conninfo.encode())
        if self.library.PQstatus(connection) != CONNECTION_OK:
            raise OSError(f"cannot connect: {self.library.PQerrorMessage(connection).decode().strip()}")
        return Connection(self.library, connection)


class Connection:
    def __init__(self, library, handle):
        self.library, self.handle = library, handle

    def execute(self, sql, values=None):
        """`sql` in bytes; `values` as `parameters` made them."""
        if values is None:
            self.done(self.library.PQexec(self.handle, sql))
        else:
            self.done(self.library.PQexecParams(self.handle, sql, len(values), None, values, None, None, 0))

    def done(self, result):
        status = self.library.PQresultStatus(result)
        self.library.PQclear(result)
        if status != COMMAND_OK:
            raise OSError(f"refused: {self.library.PQerrorMessage(self.handle).decode().strip()}")

    def close(self):
        self.library.PQfinish(self.handle)


def parameters(values):
    """Text parameters, as an array that the library reads."""
    return (ctypes.c_char_p * len(values))(*(str(value).encode() for value in values))
