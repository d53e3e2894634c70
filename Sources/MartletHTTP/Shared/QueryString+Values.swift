import MartletCore
package import MartletWire

extension QueryString {
    /// Refuses parameters that an endpoint does not have, so that a misspelt one is not lost in silence, and those given twice, of which
    /// proxies and servers pick different ones.
    ///
    /// `_` is always allowed: caches are kept off with it.
    ///
    /// - Throws: `bad_request` with a sentence that names the parameter, and the nearest known one.
    package func allow(_ known: [String]) throws(WireError) {
        var seen: Set<String> = []
        for (name, _) in self.items {
            guard seen.insert(name).inserted else {
                throw WireError(.badRequest, "The query parameter \(NameHint.quoted(name)) is given twice: leave one out.")
            }
            guard name == "_" || known.contains(name) else {
                throw WireError(
                    .badRequest,
                    known.isEmpty
                        ? "This path takes no query parameters; \(NameHint.quoted(name)) is one."
                        : "There is no query parameter \(NameHint.quoted(name))\(NameHint.hint(name, known)).")
            }
        }
    }

    /// A whole number in digits.
    ///
    /// - Parameter own: when the parameter is left out.
    /// - Throws: `bad_request` for anything that is not in the range, an empty value included.
    package func number(_ name: String, default own: Int, _ range: ClosedRange<Int>) throws(WireError) -> Int {
        guard let text = self[name] else { return own }
        guard text.utf8.allSatisfy(isDigit), let value = Int(text), range.contains(value) else {
            throw WireError(
                .badRequest, "'\(name)' must be a number from \(range.lowerBound) to \(range.upperBound).", limit: range.upperBound)
        }
        return value
    }

    /// One of some words; nil when the parameter is left out.
    package func choice(_ name: String, _ values: [String]) throws(WireError) -> String? {
        guard let value = self[name] else { return nil }
        guard values.contains(value) else {
            throw WireError(.badRequest, "'\(name)' must be \(values.joined(separator: " or ")).")
        }
        return value
    }

    /// A name of a user or device; nil when the parameter is left out.
    ///
    /// - Parameter limit: longest name, in bytes.
    package func name(_ parameter: String, limit: Int) throws(WireError) -> String? {
        guard let value = self[parameter] else { return nil }
        guard let problem = nameProblem(value, limit: limit) else { return value }
        throw WireError(.badRequest, "'\(parameter)' \(problem).", limit: value.utf8.count > limit ? limit : nil)
    }

    /// Seconds, with or without a fraction, taken into a range of milliseconds.
    ///
    /// - Parameter own: in milliseconds, when the parameter is left out.
    package func seconds(_ name: String, default own: Int64, _ range: ClosedRange<Int64>) throws(WireError) -> Int64 {
        guard let text = self[name] else { return own }
        guard text.utf8.allSatisfy({ isDigit($0) || $0 == UInt8(ascii: ".") }), let seconds = Double(text), seconds > 0, seconds <= 1e5
        else { throw WireError(.badRequest, "'\(name)' must be a number of seconds such as 25 or 2.5.") }
        return min(max(Int64(seconds * 1_000), range.lowerBound), range.upperBound)
    }

    /// RAMEN's `seq`, or the number of a `Last-Event-ID` if that is larger.
    package func seq(lastEventID: String?) throws(WireError) -> UInt64 {
        guard let text = self["seq"], text.utf8.allSatisfy(isDigit), let seq = UInt64(text) else {
            throw WireError(.badRequest, "'seq' must be the largest sequence number seen, or 0.")
        }
        return max(seq, lastEventID.flatMap { UInt64($0) } ?? 0)
    }
}

private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
