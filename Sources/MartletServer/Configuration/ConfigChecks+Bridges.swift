import MartletBridge
import MartletCore

extension ConfigChecks {
    /// What is wrong with bridges, and what their files hold.
    static func bridges(_ loaded: inout LoadedConfiguration) {
        let configuration = loaded.configuration
        let hosts = HostList(configuration.bridgeHosts)
        var paths: [String: String] = [:]
        for (name, options) in configuration.bridges.sorted(by: { $0.key < $1.key }) {
            func key(_ option: String) -> String { "bridges.\(name).\(option)" }
            for problem in options.problems(configuration.limits, hosts: hosts) {
                loaded.refuse(key(problem.option), "\(key(problem.option)) \(problem.text).")
            }
            if let path = options.path, let other = paths.updateValue(name, forKey: path) {
                loaded.refuse(key("path"), "\(path) is the path of the bridge \(other) already.")
            }
            if let topic = options.topic, configuration.topicOptions(of: topic).publish == .all {
                loaded.warnings.append(
                    "clients may publish to the topic \(topic) of the bridge \(name) as well: set namespaces.\(topicNamespace(topic) ?? "NAME").publish to token or none."
                )
            }
            guard let file = options.authorizationFile, let text = loaded.readable(file, key("authorizationFile"), isSecret: true) else { continue }
            let value = self.withoutLineEnd(text)
            guard !value.isEmpty, value.utf8.count <= 8_192, value.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) else {
                loaded.refuse(key("authorizationFile"), "\(file) must hold one line of printable ASCII, such as Bearer and a token.")
                continue
            }
            loaded.configuration.bridges[name]?.authorization = value
            if let url = BridgeURL(options.url), !url.isTLS, !ServerConfiguration.isLoopback(url.host) {
                loaded.warnings.append("\(key("url")) is not https: what is sent as Authorization can be read on the way.")
            }
        }
    }
}

extension ServerConfiguration {
    /// What the configuration says of a topic.
    fileprivate func topicOptions(of topic: String) -> TopicOptions {
        let change = topicNamespace(topic).flatMap { self.namespaces[String($0)] }
        return change?.applied(to: self.topics) ?? self.topics
    }
}
