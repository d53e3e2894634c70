extension Migrations {
    /// Idempotency keys by age within their app: the oldest of one app are found without looking at another's.
    static let idempotencyAge = """
        DROP INDEX idempotency_expires;
        CREATE INDEX idempotency_age ON idempotency (app, expires)
        """
}
