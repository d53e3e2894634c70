#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A lock with a condition, around a value that several threads share.
final class Monitor<State>: @unchecked Sendable {
    // The pthread objects must not move, so they live on the heap; `state` is touched only under the lock.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    #if canImport(Glibc)
    private static var clock: clockid_t { CLOCK_MONOTONIC }
    #else
    private static var clock: clockid_t { CLOCK_REALTIME }
    #endif

    init(_ state: sending State) {
        self.state = state
        pthread_mutex_init(self.mutex, nil)
        #if canImport(Glibc)
        // Waiting must not depend on steps of the wall clock.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, Self.clock)
        pthread_cond_init(self.condition, &attributes)
        pthread_condattr_destroy(&attributes)
        #else
        pthread_cond_init(self.condition, nil)
        #endif
    }

    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.mutex)
        self.condition.deallocate()
        self.mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        return try body(&self.state)
    }

    /// Changes the state and wakes one waiting thread if asked to.
    func change<Result>(_ body: (inout State) -> (Result, wake: Bool)) -> Result {
        pthread_mutex_lock(self.mutex)
        let (result, wake) = body(&self.state)
        pthread_mutex_unlock(self.mutex)
        if wake { pthread_cond_signal(self.condition) }
        return result
    }

    func wakeAll() { pthread_cond_broadcast(self.condition) }

    /// Waits until `body` returns a value.
    ///
    /// - Parameter timeoutMs: after this time `body` is called once more and nil is returned if it has none; nil waits
    ///   for ever.
    func wait<Result>(timeoutMs: Int64? = nil, _ body: (inout State) -> Result?) -> Result? {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        var deadline = timespec()
        if let timeoutMs {
            clock_gettime(Self.clock, &deadline)
            let nanoseconds = Int64(deadline.tv_nsec) + timeoutMs % 1_000 * 1_000_000
            deadline.tv_sec += Int(timeoutMs / 1_000 + nanoseconds / 1_000_000_000)
            deadline.tv_nsec = Int(nanoseconds % 1_000_000_000)
        }
        while true {
            if let result = body(&self.state) { return result }
            if timeoutMs == nil {
                pthread_cond_wait(self.condition, self.mutex)
            } else if pthread_cond_timedwait(self.condition, self.mutex, &deadline) == ETIMEDOUT {
                return body(&self.state)
            }
        }
    }
}

/// A thread that runs one function to its end.
final class Worker: Sendable {
    private let done = Monitor(false)

    /// - Throws: ``StoreStartError`` if the system has no thread left.
    init(_ body: @escaping @Sendable () -> Void) throws(StoreStartError) {
        let done = self.done
        let box = Unmanaged.passRetained(
            Body {
                body()
                done.withLock { $0 = true }
                done.wakeAll()
            })
        #if canImport(Glibc)
        var thread = pthread_t()
        #else
        var thread: pthread_t?
        #endif
        let code = pthread_create(
            &thread, nil,
            { argument in
                #if canImport(Glibc)
                guard let argument else { return nil }
                #endif
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw StoreStartError("The store cannot start a thread (error \(code)).")
        }
        #if canImport(Glibc)
        pthread_detach(thread)
        #else
        if let thread { pthread_detach(thread) }
        #endif
    }

    /// Waits until the function has returned.
    func join() { _ = self.done.wait { $0 ? true : nil } }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

/// Nanoseconds on a clock that only moves on.
func monotonicNs() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Milliseconds on the same clock.
func monotonicMs() -> Int64 { monotonicNs() / 1_000_000 }
