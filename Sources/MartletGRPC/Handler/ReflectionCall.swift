import MartletProto
import MartletWire
import NIOCore
import SwiftProtobuf

/// `grpc.reflection.v1.ServerReflection`: what there is to call, for tools that have no copy of the definitions
/// (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md). `v1alpha` has the same messages.
final class ReflectionCall: GRPCCall {
    private let stream: GRPCStream
    private var answered = 0

    /// Questions of one call.
    private static let most = 1_000

    init(_ stream: GRPCStream) { self.stream = stream }

    var messageBytes: Int { 4_096 }
    /// A client that does not read gets no more answers.
    var takesMessages: Bool { self.stream.context?.channel.isWritable == true }
    var isSigned: Bool { false }

    func received(_ message: ByteBuffer) {
        self.answered += 1
        guard self.answered <= Self.most,
            let request = try? Grpc_Reflection_V1_ServerReflectionRequest(serializedBytes: Array(message.readableBytesView))
        else {
            return self.stream.finish(GRPCStatus(.invalidArgument, "This is no grpc.reflection.v1.ServerReflectionRequest."))
        }
        let response = ReflectionIndex.answer(request)
        self.stream.send((try? response.serializedBytes()) ?? [])
    }

    func requestEnded() { self.stream.finish(.ok) }

    func quiesce() { self.stream.finish(GRPCStatus(GRPCServices.draining)) }
}

/// What reflection knows: the descriptors that scripts/proto made.
enum ReflectionIndex {
    private struct File: Sendable {
        var name: String
        var response: Grpc_Reflection_V1_FileDescriptorResponse
        /// Full names of what it defines.
        var symbols: Set<String>
        var services: [String]
    }

    private static let files: [File] = ProtoDescriptors.files.compactMap { file in
        // The set holds one file as field 1, as the answer does.
        let bytes = ReflectionIndex.decode(file.set)
        guard let set = try? Google_Protobuf_FileDescriptorSet(serializedBytes: bytes), let descriptor = set.file.first,
            let response = try? Grpc_Reflection_V1_FileDescriptorResponse(serializedBytes: bytes)
        else { return nil }
        var symbols: Set<String> = []
        for message in descriptor.messageType { ReflectionIndex.add(message, in: descriptor.package, to: &symbols) }
        for one in descriptor.enumType { symbols.insert("\(descriptor.package).\(one.name)") }
        var services: [String] = []
        for service in descriptor.service {
            let name = "\(descriptor.package).\(service.name)"
            services.append(name)
            symbols.insert(name)
            for method in service.method { symbols.insert("\(name).\(method.name)") }
        }
        return File(name: file.name, response: response, symbols: symbols, services: services)
    }

    private static func add(_ message: Google_Protobuf_DescriptorProto, in scope: String, to symbols: inout Set<String>) {
        let name = "\(scope).\(message.name)"
        symbols.insert(name)
        for nested in message.nestedType { self.add(nested, in: name, to: &symbols) }
        for one in message.enumType { symbols.insert("\(name).\(one.name)") }
    }

    private static func decode(_ text: StaticString) -> [UInt8] {
        var output: [UInt8] = []
        var (word, bits) = (UInt32(0), 0)
        for byte in text.description.utf8 {
            let digit: UInt32
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = UInt32(byte) - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = UInt32(byte) - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt32(byte) + 4
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            default: continue
            }
            word = word << 6 | digit
            bits += 6
            guard bits >= 8 else { continue }
            bits -= 8
            output.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
        }
        return output
    }

    static func answer(_ request: Grpc_Reflection_V1_ServerReflectionRequest) -> Grpc_Reflection_V1_ServerReflectionResponse {
        .with {
            $0.validHost = request.host
            $0.originalRequest = request
            switch request.messageRequest {
            case .listServices:
                $0.listServicesResponse = .with { list in
                    list.service = self.files.flatMap(\.services).sorted().map { name in .with { $0.name = name } }
                }
            case .fileByFilename(let name): self.describe(self.files.first { $0.name == name }, &$0)
            case .fileContainingSymbol(let symbol): self.describe(self.files.first { $0.symbols.contains(symbol) }, &$0)
            case .allExtensionNumbersOfType(let type):
                if self.files.contains(where: { $0.symbols.contains(type) }) {
                    $0.allExtensionNumbersResponse = .with { $0.baseTypeName = type }
                } else {
                    self.describe(nil, &$0)
                }
            case .fileContainingExtension: self.describe(nil, &$0)
            case nil:
                $0.errorResponse = .with {
                    $0.errorCode = Int32(GRPCCode.invalidArgument.rawValue)
                    $0.errorMessage = "The request asks nothing."
                }
            }
        }
    }

    private static func describe(_ file: File?, _ response: inout Grpc_Reflection_V1_ServerReflectionResponse) {
        guard let file else {
            response.errorResponse = .with {
                $0.errorCode = Int32(GRPCCode.notFound.rawValue)
                $0.errorMessage = "There is no such definition."
            }
            return
        }
        // It imports no other.
        response.fileDescriptorResponse = file.response
    }
}
