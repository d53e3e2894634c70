import MartletCore
import MartletWire

/// A message that is taken: what devices see is JSON, its data is the publisher's byte for byte, and writing the message again
/// from what was understood gives the same.
enum PublishTarget {
    static let parser = PublishParser(app: AppID(1), limits: Limits()) { input in
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in input { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return Array("\(hash)".utf8)
    }

    static func run(_ bytes: UnsafeRawBufferPointer) {
        do throws(WireError) {
            Self.examine(try Self.parser.parse(bytes), bytes)
        } catch {
            check([.badRequest, .invalidJSON, .messageTooLarge].contains(error.code), "refused as \(error.code)")
            checkAnswer(error)
        }
    }

    /// What a client publishes in a frame: a message of one topic.
    static func frame(_ bytes: UnsafeRawBufferPointer) {
        do throws(WireError) {
            let (request, ref) = try Self.parser.parse(frame: bytes)
            check(request.topic != nil, "a frame without a topic")
            check(ref.map { ref in ref.withUnsafeBytes { (try? JSON.value(in: $0, maxDepth: 64)) != nil } } ?? true, "a ref that is not JSON")
            Self.examine(request, bytes)
        } catch {
            check([.badRequest, .invalidJSON, .messageTooLarge].contains(error.code), "refused as \(error.code)")
            checkAnswer(error)
        }
    }

    private static func examine(_ request: AppendRequest, _ bytes: UnsafeRawBufferPointer) {
        let limits = Self.parser.limits
        check(request.targets.isEmpty == (request.topic != nil) && Set(request.targets).count == request.targets.count, "targets twice, or none")
        if let topic = request.topic { check(topicProblem(topic.name, limits, wildcards: false) == nil, "a topic's name") }
        for target in request.targets where target.scope != .app {
            check(nameProblem(target.name, limit: limits.nameBytes) == nil, "a target's name")
        }
        check((0...limits.ttlMaxSeconds).contains(request.ttl), "ttl \(request.ttl)")

        let seen = Array("{".utf8) + request.members + Array("}".utf8)
        let members = Self.members(seen)
        check(members != nil, "devices see something that is not JSON")
        let sent = Self.members(Array(bytes))
        for name in ["data", "notification", "type"] where members?[name] != nil {
            check(members?[name] == sent?[name], "\(name) is not what was published")
        }

        let again = Self.text(request)
        let parsed = again.withUnsafeBytes { try? Self.parser.parse($0) }
        check(parsed?.members == request.members, "written again it has other members")
        check(parsed?.targets == request.targets && parsed?.priority == request.priority && parsed?.ttl == request.ttl, "written again it differs")
        check(parsed?.topic == request.topic, "written again it has another topic")
        check(parsed?.collapseKey == request.collapseKey && parsed?.idempotency == request.idempotency, "written again it has other keys")
    }

    /// The members of an object by name, as their bytes; the last of a name.
    private static func members(_ bytes: [UInt8]) -> [String: [UInt8]]? {
        bytes.withUnsafeBytes { bytes in
            guard let members = try? JSON.object(in: bytes, maxDepth: 64) else { return nil }
            return Dictionary(members.map { ($0.key.string ?? "", Array($0.value.raw)) }, uniquingKeysWith: { $1 })
        }
    }

    /// A message that says what was understood.
    private static func text(_ request: AppendRequest) -> [UInt8] {
        var topic: [UInt8] = []
        if let name = request.topic?.name { JSON.append(name, to: &topic) }
        // What all members begin with.
        let seen = request.topic == nil ? 0 : topic.count + #""topic":"#.utf8.count + 1
        var output = Array("{".utf8) + request.members.dropFirst(seen)
        output += Array((output.count > 1 ? #","ttl":\#(request.ttl)"# : #""ttl":\#(request.ttl)"#).utf8)
        if request.topic.map({ $0.retain != .leave }) == true { output += Array(#","retain":true"#.utf8) }
        if let key = request.collapseKey {
            output += Array(#","collapseKey":"#.utf8)
            JSON.append(key, to: &output)
        }
        if let key = request.idempotency?.key {
            output += Array(#","idempotencyKey":"#.utf8)
            JSON.append(key, to: &output)
        }
        output += Array(#","to":{"#.utf8)
        if request.topic != nil { return output + Array(#""topic":"#.utf8) + topic + Array("}}".utf8) }
        switch request.targets.first?.scope {
        case .app: output += Array(#""all":true"#.utf8)
        case let scope:
            output += Array((scope == .user ? #""users":["# : #""devices":["#).utf8)
            for (index, target) in request.targets.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSON.append(target.name, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        }
        return output + Array("}}".utf8)
    }
}

/// The lines of a batch are those of the body without the blank ones, and each is a message.
enum BatchTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let lines = Array(NDJSONLines(bytes))
        var end = 0
        for line in lines {
            check(line.lowerBound >= end && !line.isEmpty && line.upperBound <= bytes.count, "a line out of its place")
            check(!bytes[line].contains(0x0a), "a line break in a line")
            end = line.upperBound
            PublishTarget.run(UnsafeRawBufferPointer(rebasing: bytes[line]))
        }
        let expected = bytes.split(separator: 0x0a).map { Array($0.last == 0x0d ? $0.dropLast() : $0) }
            .filter { !$0.allSatisfy { [0x20, 0x09, 0x0d].contains($0) } }
        check(lines.map { Array(bytes[$0]) } == expected, "other lines than those that there are")
    }
}
