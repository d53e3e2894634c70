"""What SQLite itself does: rows of 200 bytes, WAL, synchronous=FULL. sqlite_commits.py FILE ROWS_PER_COMMIT SECONDS"""

import json
import os
import sqlite3
import sys
import time

path, rows, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
for suffix in ("", "-wal", "-shm"):
    if os.path.exists(path + suffix):
        os.unlink(path + suffix)
database = sqlite3.connect(path, isolation_level=None)
database.execute("pragma journal_mode=wal")
database.execute("pragma synchronous=full")
database.execute("create table log (n integer primary key, body blob)")
body, count, begin = os.urandom(200), 0, time.monotonic()
while time.monotonic() - begin < seconds:
    database.execute("begin immediate")
    for _ in range(rows):
        database.execute("insert into log (body) values (?)", (body,))
    database.execute("commit")
    count += 1
elapsed = time.monotonic() - begin
database.close()
for suffix in ("", "-wal", "-shm"):
    if os.path.exists(path + suffix):
        os.unlink(path + suffix)
print(json.dumps({"rows_per_commit": rows, "commits_per_s": round(count / elapsed), "rows_per_s": round(count * rows / elapsed)}))
