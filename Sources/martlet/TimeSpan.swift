import ArgumentParser

/// A time such as `90d`, `12h`, `30m`, `45s`.
struct TimeSpan: ExpressibleByArgument {
    let seconds: Int64

    init?(argument: String) {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let unit = argument.last.flatMap({ units[$0] }), let number = Int64(argument.dropLast()), number > 0,
            number <= 3_153_600_000 / unit
        else { return nil }
        self.seconds = number * unit
    }
}
