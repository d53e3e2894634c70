/// The definitions in api/ as gRPC's server reflection hands them out.
package enum ProtoDescriptors {
    /// A .proto file: its name as others import it, and a FileDescriptorSet that holds just it, in Base64.
    package struct File: Sendable {
        package var name: String
        package var set: StaticString
    }

    package static let files: [File] = [
        File(name: "martlet/v1/push.proto", set: Self.push),
        File(name: "grpc/health/v1/health.proto", set: Self.health),
        File(name: "grpc/reflection/v1/reflection.proto", set: Self.reflection),
    ]
}
