package import MartletCore

/// The guarantees of ``LogStore`` as tests that run on any implementation.
///
/// ```swift
/// @Test(arguments: LogStoreContract.cases) func contract(_ test: LogStoreContract.Case) async throws {
///     try await test.run(on: LogStoreContract.Maker(open: { limits, clock in … }))
/// }
/// ```
package enum LogStoreContract {
    /// How to make the store under test.
    package struct Maker: Sendable {
        /// Makes a new, empty store, with these limits and clocks.
        package var open: @Sendable (_ limits: Limits, _ clock: ContractClock) throws -> any LogStore
        /// Opens what a store held that has been stopped; nil if the implementation keeps nothing.
        package var reopen: (@Sendable (_ stopped: any LogStore, _ limits: Limits, _ clock: ContractClock) throws -> any LogStore)?

        package init(
            open: @escaping @Sendable (_ limits: Limits, _ clock: ContractClock) throws -> any LogStore,
            reopen: (
                @Sendable (_ stopped: any LogStore, _ limits: Limits, _ clock: ContractClock) throws -> any LogStore
            )? = nil
        ) {
            self.open = open
            self.reopen = reopen
        }
    }

    /// One guarantee.
    package struct Case: Sendable, CustomTestStringConvertibleName {
        package var name: String
        /// What the limits are in this case.
        var limits = Limits()
        /// Whether the case closes the store and opens it again; it passes unchecked where there is no `reopen`.
        package var reopens = false
        var body: @Sendable (Fixture) async throws -> Void

        /// - Throws: ``Violation`` if the store breaks the guarantee.
        package func run(on maker: Maker) async throws {
            if self.reopens, maker.reopen == nil { return }
            let fixture = try Fixture(maker: maker, limits: self.limits)
            do {
                try await self.body(fixture)
            } catch {
                _ = await fixture.store.stop()
                throw error
            }
            if let error = await fixture.store.stop(), error.reason != .stopped {
                throw Violation("stop failed: \(error)")
            }
        }
    }

    /// Every guarantee that is checked.
    package static let cases: [Case] =
        appendCases + collapseCases + readCases + limitCases + deviceCases + statusCases + reopenCases
        + topicCases + retainedCases + sessionCases + trimCases + marksCases

    /// A guarantee that did not hold.
    package struct Violation: Error, CustomStringConvertible {
        package var description: String
        init(_ description: String) { self.description = description }
    }
}

/// A name to show for a test's argument.
package protocol CustomTestStringConvertibleName: CustomStringConvertible {
    var name: String { get }
}

extension CustomTestStringConvertibleName {
    package var description: String { self.name }
}

func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
    if !condition { throw LogStoreContract.Violation(sentence()) }
}

func expectEqual<Value: Equatable>(_ value: Value, _ expected: Value, _ sentence: @autoclosure () -> String) throws {
    if value != expected { throw LogStoreContract.Violation("\(sentence()): expected \(expected), got \(value)") }
}
