# SPDX-License-Identifier: MIT
# Two processes change a mapped file; a copy in memory says what it must hold.
import hashlib
import mmap
import os

PAGE = mmap.PAGESIZE
size = 9 * PAGE + 123
model = bytearray(os.urandom(size))

f = open("data", "w+b")
f.write(model)
f.flush()
m = mmap.mmap(f.fileno(), 0)


def check(what):
    assert m[:] == model, what + ": the mapping"
    with open("data", "rb") as other:
        assert other.read() == model, what + ": read"
    print("ok", what, flush=True)


def store(at, data):
    m[at:at + len(data)] = data
    model[at:at + len(data)] = data


check("as it was written")

store(PAGE - 3, b"across")
store(size - 4, b"last")
m.flush()
check("flushed")

store(5 * PAGE, b"not flushed")
check("not flushed")

with open("data", "r+b", buffering=0) as other:
    other.seek(2 * PAGE + 5)
    other.write(b"written beside it")
model[2 * PAGE + 5:2 * PAGE + 22] = b"written beside it"
check("written beside it")

pid = os.fork()
if pid == 0:
    m[7 * PAGE:7 * PAGE + 5] = b"child"
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
model[7 * PAGE:7 * PAGE + 5] = b"child"
check("a forked child")

pid = os.fork()
if pid == 0:
    with open("data", "r+b") as mine:
        other = mmap.mmap(mine.fileno(), 0)
        other[3 * PAGE:3 * PAGE + 5] = b"other"
        other.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
model[3 * PAGE:3 * PAGE + 5] = b"other"
check("another mapping")

m.close()
with open("data", "ab", buffering=0) as other:
    other.write(b"appended")
model += b"appended"
m = mmap.mmap(f.fileno(), 0)
check("grown")

m.resize(len(model) + PAGE)
model += bytes(PAGE)
store(len(model) - 2, b"zz")
check("resized")

readonly = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
assert readonly[:] == model
readonly.close()
print("ok read-only")

private = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
private[:4] = b"mine"
check("a private one is private")

store(0, b"at exit")  # neither flushed nor closed
print("sum", hashlib.sha256(model).hexdigest())
print("done")
