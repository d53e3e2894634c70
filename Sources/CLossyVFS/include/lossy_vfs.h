#pragma once
#include <stdint.h>

/// A SQLite file system for tests, registered by the name "lossy": it stores files as the default one does, but remembers
/// how to undo what has not been synced. A crash makes all further I/O fail; a restore takes the unsynced writes back.
/// It also fails and delays on demand. Its state is one per process, and files are told apart by their path.

/// Registers it. May be called again. Returns a SQLite result code.
int lossy_vfs_register(void);

/// From here on all I/O on open files below the folder fails.
void lossy_vfs_crash(const char *folder);

/// The same at the `count`th write, truncation or sync from now on, which fails like all after it. From 1; 0 takes it back.
void lossy_vfs_crash_at(const char *folder, int64_t count);

/// After the handles are closed: takes back, in the files below the folder, what was not synced. With a seed other than 0 some
/// of each file's unsynced writes are kept instead, the oldest ones. Ends the crash. Returns the number of writes taken back.
int64_t lossy_vfs_restore(const char *folder, uint64_t seed);

/// After `after` more writes to files below the folder, writes and truncations fail with this SQLite result code; 0 ends that.
void lossy_vfs_fail_writes(const char *folder, int code, int64_t after);

/// The next `count` syncs of files below the folder fail with SQLITE_IOERR_FSYNC, and sync nothing.
void lossy_vfs_fail_syncs(const char *folder, int64_t count);

/// Each sync takes at least this long.
void lossy_vfs_delay_syncs(const char *folder, uint32_t microseconds);

/// Whether a sync reaches the disk (0: it only counts as a barrier, which is all that a crash here tests). Default 0.
void lossy_vfs_real_syncs(const char *folder, int real);
