// Preloaded into programs that are built with -sanitize=thread: tells Thread Sanitizer what parts of the Swift runtime do that are not
// built with it. Without this they are reported as races:
// - a hand-over by a contended Synchronization.Mutex. Only that path is in the library, where the kernel hands the lock on; the other one
//   is compiled into the program and seen.
// - the result of a continuation that was resumed before it was awaited. The runtime tells of the other order by itself.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

static void *find(void **kept, void *where, const char *name) {
    void *found = __atomic_load_n(kept, __ATOMIC_RELAXED);
    if (!found) __atomic_store_n(kept, found = dlsym(where, name), __ATOMIC_RELAXED);
    return found;
}

static void tell(void **kept, const char *name, void *mutex) {
    void (*function)(void *) = (void (*)(void *))find(kept, RTLD_DEFAULT, name);
    if (function) function(mutex);
}

static void *acquire, *release, *lock, *try_lock, *unlock;

SWIFT void lock_slow(uint32_t thread, SELF void *mutex) __asm__(LOCK);
SWIFT void lock_slow(uint32_t thread, SELF void *mutex) {
    ((SWIFT void (*)(uint32_t, SELF void *))find(&lock, RTLD_NEXT, LOCK))(thread, mutex);
    tell(&acquire, "__tsan_acquire", mutex);
}

SWIFT bool try_lock_slow(SELF void *mutex) __asm__(TRY_LOCK);
SWIFT bool try_lock_slow(SELF void *mutex) {
    bool locked = ((SWIFT bool (*)(SELF void *))find(&try_lock, RTLD_NEXT, TRY_LOCK))(mutex);
    if (locked) tell(&acquire, "__tsan_acquire", mutex);
    return locked;
}

SWIFT void unlock_slow(SELF void *mutex) __asm__(UNLOCK);
SWIFT void unlock_slow(SELF void *mutex) {
    tell(&release, "__tsan_release", mutex);
    ((SWIFT void (*)(SELF void *))find(&unlock, RTLD_NEXT, UNLOCK))(mutex);
}

typedef __attribute__((swiftasynccall)) void Await(void *);
void *swift_task_getCurrent(void) __attribute__((weak));

__attribute__((swiftasynccall)) void swift_continuation_await(void *context) {
    static void *await;
    tell(&acquire, "__tsan_acquire", swift_task_getCurrent());
    __attribute__((musttail)) return ((Await *)find(&await, RTLD_NEXT, "swift_continuation_await"))(context);
}
