import MartletServer
import Testing

@Suite("Options of MQTT")
struct MQTTConfigTests {
    @Test("are off by default")
    func off() throws {
        let mqtt = try load().configuration.mqtt
        #expect(mqtt == MQTTOptions() && mqtt.listen == nil && mqtt.tlsListen == nil)
        #expect(mqtt.sessionExpiryMax == 7 * 86_400 && mqtt.keepAliveMax == 600)
    }

    @Test("are read from the file, flags and variables")
    func read() throws {
        let loaded = try load(
            "mqtt:\n  listen: '[::1]:1883'\n  sessionExpiryMax: 1d\n  serverReference: b.example:8883\n",
            environment: ["MARTLET_MQTT_KEEP_ALIVE_MAX": "30s"],
            "--mqtt-tls-listen", "127.0.0.1:0", "--tls-certificate", "/dev/null", "--tls-key", "/dev/null")
        let mqtt = loaded.configuration.mqtt
        #expect(loaded.sentences.isEmpty)
        #expect(mqtt.listen == ListenAddress(host: "::1", port: 1_883) && mqtt.tlsListen == ListenAddress(host: "127.0.0.1", port: 0))
        #expect(mqtt.sessionExpiryMax == 86_400 && mqtt.keepAliveMax == 30 && mqtt.serverReference == "b.example:8883")
        // What is printed is read again.
        #expect(loaded.line("mqtt.listen")?.value == .text("[::1]:1883"))
        // A later source may switch it off.
        #expect(try load("mqtt.listen: 127.0.0.1:1883", "--mqtt-listen", "").configuration.mqtt.listen == nil)
    }

    @Test(
        "are refused with a sentence",
        arguments: [
            ("mqtt.listen: 1883", ":1: mqtt.listen must be HOST:PORT, for example 127.0.0.1:1883."),
            ("mqtt.tlsListen: 127.0.0.1:8883", ":1: TLS needs a certificate: set tls.certificate and tls.key."),
            (
                "dev: true\nmqtt.listen: 0.0.0.0:1883",
                ":2: dev mode protects nothing, so it listens on loopback only: use 127.0.0.1:1883, or leave out dev."
            ),
            ("mqtt.listen: 127.0.0.1:8080", ":1: 127.0.0.1:8080 is the address of listen: give each a port of its own."),
            ("mqtt.keepAliveMax: 1d", ":1: mqtt.keepAliveMax must be from 5 to 65535 seconds (5s to 65535s); 86400 is not."),
            (
                "mqtt.serverReference: \"a\\nb\"",
                ":1: mqtt.serverReference must be a line of at most 1,024 bytes, for example push-b.example.com:8883."
            ),
        ])
    func refused(_ yaml: String, _ sentence: String) throws {
        #expect(try load(yaml).sentences == [sentence])
    }

    @Test("that let others read along are warned about")
    func warned() throws {
        let loaded = try load("mqtt.listen: 0.0.0.0:1883")
        #expect(loaded.problems.isEmpty && loaded.warnings.contains { $0.contains("without TLS (mqtt.listen)") })
        #expect(try load("mqtt.listen: 127.0.0.1:1883").warnings.isEmpty)
    }
}
