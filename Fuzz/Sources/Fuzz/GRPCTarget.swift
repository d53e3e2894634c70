import MartletCore
import MartletGRPC
import MartletProto
import MartletWire
import NIOCore
import NIOHPACK
import SwiftProtobuf

/// The same bytes are the same messages however they are cut, and none is longer than it may be; an ack read by hand is what SwiftProtobuf
/// reads; a draft says what its fields say; heads are refused or understood.
enum GRPCTarget {
    private static let mapping = DraftMapping(parser: PublishTarget.parser)

    static func run(_ bytes: UnsafeRawBufferPointer) {
        var choices = Choices(bytes)
        let first = choices.byte()
        let most = Int(choices.byte()) * 16
        let cuts = choices.bytes(Int(choices.byte() & 15))
        let rest = Array(choices.rest)
        if first & 1 == 0 { self.head(rest) }
        let encoding: GRPCRequestHead.Encoding = first & 2 == 0 ? .identity : .gzip
        let whole = self.decode([rest], encoding, most)
        check(self.decode(pieces(of: rest, cuts), encoding, most) == whole, "pieces say something else")
        check(self.decode(rest.map { [$0] }, encoding, most) == whole, "single bytes say something else")
        for message in whole.messages {
            check(message.count <= most, "a message that is too long")
            self.request(message)
        }
    }

    private struct Outcome: Equatable {
        var messages: [[UInt8]] = []
        var error: GRPCStatus?
    }

    private static func decode(_ pieces: [[UInt8]], _ encoding: GRPCRequestHead.Encoding, _ most: Int) -> Outcome {
        var decoder = GRPCFrameDecoder(encoding: encoding)
        let gunzip = Gunzip()
        var outcome = Outcome()
        for piece in pieces where outcome.error == nil {
            var buffer = ByteBuffer(bytes: piece)
            decoder.feed(&buffer)
            do throws(GRPCStatus) {
                while let message = try decoder.next(most: most, gunzip: gunzip) { outcome.messages.append(Array(message.readableBytesView)) }
            } catch {
                check([.internal, .resourceExhausted].contains(error.code), "refused as \(error.code)")
                outcome.error = error
            }
            check(outcome.error != nil || decoder.heldBytes < most + GRPCFrameDecoder.prefixBytes, "a message waits that is too long")
        }
        return outcome
    }

    private static func request(_ message: [UInt8]) {
        let request = try? ProtoConnectRequest(serializedBytes: message)
        if let seq = AckFrame.upTo(ByteBuffer(bytes: message)) {
            check(request == .with { $0.ack.upTo = seq }, "an ack of \(seq) that is something else")
        }
        if case .publish(let publish)? = request?.frame { self.draft(publish.message) }
        if let draft = try? ProtoDraft(serializedBytes: message) { self.draft(draft) }
    }

    private static func draft(_ draft: ProtoDraft) {
        do throws(WireError) {
            let request = try self.mapping.request(draft)
            switch draft.target {
            case .user(let name): check(request.targets == [.user(name, in: AppID(1))], "another user")
            case .device(let name): check(request.targets == [.device(name, in: AppID(1))], "another device")
            case .topic(let name): check(isSameName(request.topic?.name, name), "another topic")
            case .users, .devices: check(request.targets.allSatisfy { $0.scope != .app } && request.topic == nil, "others")
            case .all(let all): check(all && request.targets == [.everyone(in: AppID(1))], "not everyone")
            case nil: check(false, "nobody, and taken")
            }
            check(request.ttl == Int(draft.ttlSeconds) || !draft.hasTtlSeconds, "another time to live")
            check(request.collapseKey ?? "" == draft.collapseKey && request.idempotency?.key ?? "" == draft.idempotencyKey, "another key")
        } catch {
            check([.badRequest, .invalidJSON, .messageTooLarge].contains(error.code), "refused as \(error.code)")
            checkAnswer(error)
        }
    }

    /// Lines of a name and a value.
    private static func head(_ bytes: [UInt8]) {
        var fields = HPACKHeaders()
        for line in bytes.split(separator: 10) {
            let parts = line.split(separator: 32, maxSplits: 1, omittingEmptySubsequences: false)
            // NIO lets no other names pass, and takes none.
            guard parts[0].allSatisfy({ $0 < 0x80 }) else { continue }
            fields.add(name: String(decoding: parts[0], as: UTF8.self), value: parts.count > 1 ? String(decoding: parts[1], as: UTF8.self) : "")
        }
        do throws(GRPCRequestHead.Refusal) {
            let head = try GRPCRequestHead(fields)
            check(head.timeout.map { $0 >= .zero && $0 <= .hours(24 * 365) } ?? true, "a timeout of \(head.timeout as Any)")
        } catch {
            if case .status(let status) = error {
                var trailers = HPACKHeaders()
                status.write(to: &trailers)
                check(trailers.first(name: "grpc-message")?.utf8.allSatisfy { (0x20...0x7e).contains($0) } ?? true, "a message that is not ASCII")
            }
        }
    }
}
