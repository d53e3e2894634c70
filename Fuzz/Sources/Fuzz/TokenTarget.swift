import MartletCore
import MartletWire

@testable import MartletAccess

/// A token taken apart: its three parts are the text, its times are in order of size, and refusals are `unauthorized`.
enum TokenTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        Self.take(String(decoding: bytes, as: UTF8.self))
        // The same with the parts in the clear, so that the fuzzer gets past base64.
        let parts = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return }
        Self.take(parts.map { Self.base64URL(Array($0)) }.joined(separator: ".") + ".AAAA")
    }

    private static func take(_ text: String) {
        do throws(WireError) {
            let token = try ParsedToken(text)
            let signed = String(decoding: token.signed, as: UTF8.self)
            check(text.hasPrefix(signed + ".") && !signed.contains(".."), "something else was signed")
            check(signed.split(separator: ".", omittingEmptySubsequences: false).count == 2, "not two parts were signed")
            if let rights = try token.topics?.rights(Limits()) {
                check(
                    rights.rules?.allSatisfy { rule in (try? TopicFilter(parsing: rule.pattern.text, limits: Limits())) == rule.pattern } == true,
                    "a pattern that is none")
            }
            for time in [token.expiresAtMs, token.notBeforeMs, token.issuedAtMs] {
                check((0...100_000_000_000_000).contains(time ?? 0), "a time of \(time ?? 0)")
            }
        } catch {
            check(error.code == .unauthorized, "refused as \(error.code)")
            checkAnswer(error)
        }
    }

    private static func base64URL(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = (0..<3).reduce(UInt32(0)) { $0 << 8 | (start + $1 < bytes.count ? UInt32(bytes[start + $1]) : 0) }
            for place in 0...group.count { text.append(alphabet[Int(bits >> UInt32(18 - 6 * place)) & 63]) }
        }
        return text
    }
}
