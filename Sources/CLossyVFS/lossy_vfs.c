#include "lossy_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// One change to a file that can be undone: put these bytes back, then restore the size.
typedef struct Undo {
    struct Undo *before;
    sqlite3_int64 offset, old_size;
    int count;
    unsigned char bytes[];
} Undo;

// What is known of a path; outlives the handles.
typedef struct Node {
    struct Node *next;
    char *path;
    Undo *last;
    int64_t undos;
} Node;

// What is asked of the files below one folder.
typedef struct Plan {
    struct Plan *next;
    char *folder;
    int crashed, fail_code, real_syncs;
    int64_t fail_after, fail_syncs, crash_after;
    uint32_t delay;
} Plan;

typedef struct LossyFile {
    sqlite3_file base;
    sqlite3_io_methods methods;
    Node *node;  // NULL for files that are not tracked (temporary ones)
    Plan *plan;
    sqlite3_file *real;
} LossyFile;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Node *nodes;
static Plan *plans;
static sqlite3_vfs lossy, *real_vfs;

// For those who don't hold the lock.
static int is_crashed(Plan *p) { return p && __atomic_load_n(&p->crashed, __ATOMIC_ACQUIRE); }

static Node *node_for(const char *path) {
    for (Node *n = nodes; n; n = n->next)
        if (strcmp(n->path, path) == 0) return n;
    Node *n = calloc(1, sizeof *n);
    n->path = strdup(path);
    n->next = nodes;
    return nodes = n;
}

static Plan *plan_for(const char *path, int make) {
    for (Plan *p = plans; p; p = p->next) {
        size_t length = strlen(p->folder);
        if (strncmp(path, p->folder, length) == 0 && (path[length] == '/' || path[length] == 0)) return p;
    }
    if (!make) return NULL;
    Plan *p = calloc(1, sizeof *p);
    p->folder = strdup(path);
    p->next = plans;
    return plans = p;
}

static Plan *plan_of_file(const char *path) {
    Plan *p = plan_for(path, 0);
    if (p) return p;
    char folder[4096];
    strncpy(folder, path, sizeof folder - 1);
    folder[sizeof folder - 1] = 0;
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return plan_for(folder, 1);
}

static void forget(Node *n) {
    while (n->last) {
        Undo *u = n->last;
        n->last = u->before;
        free(u);
    }
    n->undos = 0;
}

// Remembers what is at [offset, offset + count) before it changes.
static void remember(LossyFile *f, sqlite3_int64 offset, sqlite3_int64 count) {
    sqlite3_int64 size = 0;
    if (!f->node || f->real->pMethods->xFileSize(f->real, &size) != SQLITE_OK) return;
    sqlite3_int64 kept = offset >= size ? 0 : (size - offset < count ? size - offset : count);
    Undo *u = malloc(sizeof *u + (size_t)kept);
    u->before = f->node->last;
    u->offset = offset;
    u->old_size = size;
    u->count = (int)kept;
    if (kept > 0) f->real->pMethods->xRead(f->real, u->bytes, (int)kept, offset);
    f->node->last = u;
    f->node->undos++;
}

static int lossy_close(sqlite3_file *file) {
    LossyFile *f = (LossyFile *)file;
    return f->real->pMethods->xClose(f->real);
}

static int lossy_read(sqlite3_file *file, void *out, int count, sqlite3_int64 offset) {
    LossyFile *f = (LossyFile *)file;
    if (is_crashed(f->plan)) return SQLITE_IOERR_READ;
    return f->real->pMethods->xRead(f->real, out, count, offset);
}

// Counts a change or a sync, at one of which the crash may come; the lock is held.
static void count_down(Plan *p) {
    if (p && p->crash_after > 0 && --p->crash_after == 0) __atomic_store_n(&p->crashed, 1, __ATOMIC_RELEASE);
}

// Whether a write may happen; the lock is held.
static int refusal(LossyFile *f) {
    if (!f->plan) return SQLITE_OK;
    count_down(f->plan);
    if (f->plan->crashed) return SQLITE_IOERR_WRITE;
    if (f->plan->fail_code) {
        if (f->plan->fail_after <= 0) return f->plan->fail_code;
        f->plan->fail_after--;
    }
    return SQLITE_OK;
}

static int lossy_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 offset) {
    LossyFile *f = (LossyFile *)file;
    pthread_mutex_lock(&lock);
    int code = refusal(f);
    if (code == SQLITE_OK) {
        remember(f, offset, count);
        code = f->real->pMethods->xWrite(f->real, bytes, count, offset);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static int lossy_truncate(sqlite3_file *file, sqlite3_int64 size) {
    LossyFile *f = (LossyFile *)file;
    pthread_mutex_lock(&lock);
    int code = refusal(f);
    if (code == SQLITE_OK) {
        remember(f, size, (sqlite3_int64)1 << 30);
        code = f->real->pMethods->xTruncate(f->real, size);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static int lossy_sync(sqlite3_file *file, int flags) {
    LossyFile *f = (LossyFile *)file;
    int code = SQLITE_OK, real = 0;
    pthread_mutex_lock(&lock);
    uint32_t delay = f->plan ? f->plan->delay : 0;
    pthread_mutex_unlock(&lock);
    if (delay) usleep(delay);
    pthread_mutex_lock(&lock);
    count_down(f->plan);
    if (f->plan && f->plan->crashed) {
        code = SQLITE_IOERR_FSYNC;
    } else if (f->plan && f->plan->fail_syncs > 0) {
        f->plan->fail_syncs--;
        code = SQLITE_IOERR_FSYNC;
    } else {
        if (f->node) forget(f->node);
        real = f->plan ? f->plan->real_syncs : 1;
    }
    pthread_mutex_unlock(&lock);
    return code == SQLITE_OK && real ? f->real->pMethods->xSync(f->real, flags) : code;
}

static int lossy_size(sqlite3_file *file, sqlite3_int64 *size) {
    LossyFile *f = (LossyFile *)file;
    if (is_crashed(f->plan)) return SQLITE_IOERR_FSTAT;
    return f->real->pMethods->xFileSize(f->real, size);
}

#define REAL(file) (((LossyFile *)(file))->real)
static int lossy_lock(sqlite3_file *f, int l) { return REAL(f)->pMethods->xLock(REAL(f), l); }
static int lossy_unlock(sqlite3_file *f, int l) { return REAL(f)->pMethods->xUnlock(REAL(f), l); }
static int lossy_reserved(sqlite3_file *f, int *r) { return REAL(f)->pMethods->xCheckReservedLock(REAL(f), r); }
static int lossy_control(sqlite3_file *f, int op, void *arg) {
    // Growing the file in advance would go past the memory of what to undo.
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE) return SQLITE_NOTFOUND;
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}
static int lossy_sector(sqlite3_file *f) { return REAL(f)->pMethods->xSectorSize(REAL(f)); }
// Nothing is promised about torn or reordered writes.
static int lossy_traits(sqlite3_file *f) { (void)f; return 0; }
static int lossy_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out) {
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out);
}
static int lossy_shm_lock(sqlite3_file *f, int o, int n, int fl) { return REAL(f)->pMethods->xShmLock(REAL(f), o, n, fl); }
static void lossy_shm_barrier(sqlite3_file *f) { REAL(f)->pMethods->xShmBarrier(REAL(f)); }
static int lossy_shm_unmap(sqlite3_file *f, int d) { return REAL(f)->pMethods->xShmUnmap(REAL(f), d); }

static const sqlite3_io_methods template = {
    2, lossy_close, lossy_read, lossy_write, lossy_truncate, lossy_sync, lossy_size, lossy_lock, lossy_unlock,
    lossy_reserved, lossy_control, lossy_sector, lossy_traits, lossy_shm_map, lossy_shm_lock, lossy_shm_barrier,
    lossy_shm_unmap, 0, 0,
};

static int lossy_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out) {
    (void)vfs;
    LossyFile *f = (LossyFile *)file;
    memset(f, 0, sizeof *f);
    f->real = (sqlite3_file *)(f + 1);
    pthread_mutex_lock(&lock);
    if (name && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) {
        f->node = node_for(name);
        f->plan = plan_of_file(name);
    }
    int crashed = f->plan && f->plan->crashed;
    pthread_mutex_unlock(&lock);
    if (crashed) return SQLITE_CANTOPEN;
    int code = real_vfs->xOpen(real_vfs, name, f->real, flags, out);
    f->methods = template;
    if (f->real->pMethods) f->base.pMethods = &f->methods;
    return code;
}

static int lossy_delete(sqlite3_vfs *vfs, const char *name, int sync) {
    (void)vfs;
    pthread_mutex_lock(&lock);
    Plan *p = plan_for(name, 0);
    int crashed = p && p->crashed;
    if (!crashed) forget(node_for(name));
    pthread_mutex_unlock(&lock);
    return crashed ? SQLITE_IOERR_DELETE : real_vfs->xDelete(real_vfs, name, sync);
}

int lossy_vfs_register(void) {
    pthread_mutex_lock(&lock);
    int code = SQLITE_OK;
    if (!real_vfs) {
        real_vfs = sqlite3_vfs_find(NULL);
        lossy = *real_vfs;
        lossy.zName = "lossy";
        lossy.pNext = NULL;
        lossy.szOsFile = (int)sizeof(LossyFile) + real_vfs->szOsFile;
        lossy.xOpen = lossy_open;
        lossy.xDelete = lossy_delete;
        code = sqlite3_vfs_register(&lossy, 0);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

#define WITH_PLAN(statement) \
    pthread_mutex_lock(&lock); \
    Plan *p = plan_for(folder, 1); \
    statement; \
    pthread_mutex_unlock(&lock)

void lossy_vfs_crash(const char *folder) { WITH_PLAN(__atomic_store_n(&p->crashed, 1, __ATOMIC_RELEASE)); }
void lossy_vfs_crash_at(const char *folder, int64_t count) { WITH_PLAN(p->crash_after = count); }
void lossy_vfs_fail_writes(const char *folder, int code, int64_t after) { WITH_PLAN(p->fail_code = code; p->fail_after = after); }
void lossy_vfs_fail_syncs(const char *folder, int64_t count) { WITH_PLAN(p->fail_syncs = count); }
void lossy_vfs_delay_syncs(const char *folder, uint32_t microseconds) { WITH_PLAN(p->delay = microseconds); }
void lossy_vfs_real_syncs(const char *folder, int real) { WITH_PLAN(p->real_syncs = real); }

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t lossy_vfs_restore(const char *folder, uint64_t seed) {
    int64_t undone = 0;
    pthread_mutex_lock(&lock);
    Plan *p = plan_for(folder, 1);
    for (Node *n = nodes; n; n = n->next) {
        if (!n->last || plan_for(n->path, 0) != p) continue;
        int64_t keep = seed ? (int64_t)(next_random(&seed) % (uint64_t)(n->undos + 1)) : 0;
        int fd = open(n->path, O_RDWR);
        while (n->last && n->undos > keep) {
            Undo *u = n->last;
            if (fd >= 0) {
                if (u->count > 0 && pwrite(fd, u->bytes, (size_t)u->count, u->offset) != u->count) undone = -1;
                if (ftruncate(fd, u->old_size) != 0) undone = -1;
            }
            n->last = u->before;
            n->undos--;
            free(u);
            if (undone >= 0) undone++;
        }
        if (fd >= 0) close(fd);
        forget(n);
    }
    p->crash_after = 0;
    __atomic_store_n(&p->crashed, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    return undone;
}
