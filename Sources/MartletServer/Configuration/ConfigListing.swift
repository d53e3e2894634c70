import MartletWire

/// Prints what applies: `martlet config print`.
package enum ConfigListing {
    /// One option a line, in a form that the file takes as well.
    package static func text(_ loaded: LoadedConfiguration) -> String {
        let lines = loaded.lines.map { line in
            (line.value == nil ? "# \(line.setting.key):" : "\(line.setting.key): \(line.shown)", line.place)
        }
        let width = min(60, lines.map(\.0.count).max() ?? 0)
        return lines.map { text, place in
            text + String(repeating: " ", count: max(1, width + 2 - text.count)) + "# \(place)\n"
        }.joined()
    }

    /// One object: key to `{"value", "source"}`.
    package static func json(_ loaded: LoadedConfiguration) -> String {
        var bytes: [UInt8] = []
        for line in loaded.lines {
            bytes += bytes.isEmpty ? Array("{\n".utf8) : Array(",\n".utf8)
            JSON.append(line.setting.key, to: &bytes)
            bytes += Array(#": {"value": "#.utf8)
            Self.append(line, to: &bytes)
            bytes += Array(#", "source": "#.utf8)
            JSON.append(line.place, to: &bytes)
            bytes.append(UInt8(ascii: "}"))
        }
        return String(decoding: bytes, as: UTF8.self) + "\n}\n"
    }

    private static func append(_ line: LoadedConfiguration.Line, to bytes: inout [UInt8]) {
        switch line.value {
        case nil: bytes += Array("null".utf8)
        case _? where line.setting.option.isSecret: JSON.append("<set>", to: &bytes)
        case .integer(let number): bytes += Array("\(number)".utf8)
        case .flag(let flag): bytes += Array("\(flag)".utf8)
        case .text(let text): JSON.append(text, to: &bytes)
        case .list(let items):
            bytes.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { bytes += Array(", ".utf8) }
                JSON.append(item, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        }
    }
}

extension LoadedConfiguration.Line {
    /// The value as YAML; a secret is never shown.
    var shown: String {
        if self.setting.option.isSecret { return self.value == nil ? "" : "<set>" }
        return self.setting.option.yaml(self.value)
    }
}

extension ConfigOption {
    /// The value as it stands in the file.
    func yaml(_ value: OptionValue?) -> String {
        switch value {
        case nil: ""
        case .integer(let number):
            if case .integer(let unit, _) = self.kind { unit.text(number) } else { "\(number)" }
        case .flag(let flag): "\(flag)"
        case .text(let text): Self.scalar(text)
        case .list(let items): "[" + items.map(Self.scalar).joined(separator: ", ") + "]"
        }
    }

    /// Quoted if YAML would read it as something else.
    private static func scalar(_ text: String) -> String {
        let isPlain =
            text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_-./:@+=".contains($0)) }
            && text.first.map { $0.isLetter || $0.isNumber || $0 == "/" || $0 == "." } == true && text.last != ":"
        if isPlain { return text }
        var bytes: [UInt8] = []
        JSON.append(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
