#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What the environment asks of a test run.
enum Setting {
    static func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }
}
